-- Purpose: the numbers of the dashboard for a range of days, as the caller may see them: agents get their own calls and leads.
-- Tables:  reads calls, leads, jobs, invoices, loyalty_transactions, staff as the caller.
-- Locks:   none.
-- Undo:    drop function public.dashboard, private.dashboard_days, private.dashboard_people, private.dashboard_totals.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.dashboard_totals(since timestamptz, until timestamptz, only_staff uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select jsonb_build_object(
        'calls', (select jsonb_build_object('total', count(*), 'demos_booked', count(*) filter (where c.outcome = 'demo_booked'),
                'connected', count(*) filter (where c.outcome = 'connected'))
            from public.calls as c where c.started_at >= since and c.started_at < until and (only_staff is null or c.staff_id = only_staff)),
        'leads', (select jsonb_build_object(
                'active', count(*) filter (where l.status not in ('won', 'lost')),
                'new', count(*) filter (where l.created_at >= since and l.created_at < until),
                'won', count(*) filter (where l.status = 'won' and l.updated_at >= since and l.updated_at < until),
                'lost', count(*) filter (where l.status = 'lost' and l.updated_at >= since and l.updated_at < until))
            from public.leads as l),
        'jobs_by_status', (select coalesce(jsonb_object_agg(j.status, j.total), '{}'::jsonb) from (
            select k.status, count(*) as total from public.jobs as k
            where k.created_at >= since and k.created_at < until and k.deleted_at is null group by k.status) as j),
        'revenue', (select coalesce(jsonb_agg(r order by r.currency), '[]'::jsonb) from (
            select v.currency, sum(v.invoiced)::bigint as invoiced_cents, sum(v.paid)::bigint as paid_cents, sum(v.overdue)::bigint as overdue_cents
            from (
                select i.currency, i.total_cents as invoiced, 0 as paid, 0 as overdue from public.invoices as i
                where i.sent_at >= since and i.sent_at < until and i.status <> 'void'
                union all
                select i.currency, 0, i.total_cents, 0 from public.invoices as i where i.paid_at >= since and i.paid_at < until and i.status = 'paid'
                union all
                select i.currency, 0, 0, i.total_cents from public.invoices as i where i.status = 'overdue'
            ) as v group by v.currency) as r),
        'loyalty', (select jsonb_build_object('issued', coalesce(sum(t.points) filter (where t.points > 0), 0),
                'redeemed', coalesce(-sum(t.points) filter (where t.kind = 'redeem'), 0))
            from public.loyalty_transactions as t where t.created_at >= since and t.created_at < until)
    );
$$;
comment on function private.dashboard_totals(timestamptz, timestamptz, uuid) is 'Totals of a span of time, under the caller''s policies; overdue is as of now.';

create function private.dashboard_days(first_day date, last_day date, zone text, only_staff uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
    with span as (
        select first_day::timestamp at time zone zone as since, (last_day + 1)::timestamp at time zone zone as until
    ), facts as (
        select (c.started_at at time zone zone)::date as day, 1 as calls, 0 as jobs, 0::bigint as invoiced, 0::bigint as paid
        from public.calls as c, span where c.started_at >= span.since and c.started_at < span.until and (only_staff is null or c.staff_id = only_staff)
        union all
        select (j.completed_at at time zone zone)::date, 0, 1, 0, 0 from public.jobs as j, span
        where j.completed_at >= span.since and j.completed_at < span.until and j.deleted_at is null
        union all
        select (i.sent_at at time zone zone)::date, 0, 0, i.total_cents, 0 from public.invoices as i, span
        where i.sent_at >= span.since and i.sent_at < span.until and i.status <> 'void'
        union all
        select (i.paid_at at time zone zone)::date, 0, 0, 0, i.total_cents from public.invoices as i, span
        where i.paid_at >= span.since and i.paid_at < span.until and i.status = 'paid'
    ), per_day as (
        select f.day, sum(f.calls) as calls, sum(f.jobs) as jobs, sum(f.invoiced) as invoiced, sum(f.paid) as paid from facts as f group by f.day
    )
    select jsonb_agg(jsonb_build_object('day', d.day::date, 'calls', coalesce(p.calls, 0), 'jobs_completed', coalesce(p.jobs, 0),
        'invoiced_cents', coalesce(p.invoiced, 0), 'paid_cents', coalesce(p.paid, 0)) order by d.day)
    from generate_series(first_day::timestamp, last_day::timestamp, interval '1 day') as d (day) left join per_day as p on p.day = d.day::date;
$$;
comment on function private.dashboard_days(date, date, text, uuid) is 'One entry per day, days without anything included.';

create function private.dashboard_people(since timestamptz, until timestamptz, only_staff uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select coalesce(jsonb_agg(to_jsonb(p) order by p.leads_won desc, p.demos_booked desc, p.calls desc, p.full_name), '[]'::jsonb)
    from (
        select s.user_id, s.full_name, coalesce(c.calls, 0) as calls, coalesce(c.demos, 0) as demos_booked, coalesce(l.won, 0) as leads_won
        from public.staff as s
        left join (select k.staff_id, count(*) as calls, count(*) filter (where k.outcome = 'demo_booked') as demos from public.calls as k
            where k.started_at >= since and k.started_at < until group by k.staff_id) as c on c.staff_id = s.user_id
        left join (select k.assigned_to, count(*) as won from public.leads as k
            where k.status = 'won' and k.updated_at >= since and k.updated_at < until group by k.assigned_to) as l on l.assigned_to = s.user_id
        where (only_staff is null or s.user_id = only_staff) and (c.calls > 0 or l.won > 0)
        order by 5 desc, 4 desc, 3 desc, 2 limit 10
    ) as p;
$$;
comment on function private.dashboard_people(timestamptz, timestamptz, uuid) is 'The ten members of staff who won and called most; an agent gets the own line only.';

create function public.dashboard(first_day date, last_day date, zone text default 'UTC')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
    only_staff uuid := case when not (select private.is_manager()) then (select private.current_uid()) end;
    since timestamptz := first_day::timestamp at time zone zone;
    until timestamptz := (last_day + 1)::timestamp at time zone zone;
    totals jsonb;
begin
    if not (select private.is_staff()) then
        raise exception 'only staff may read the dashboard' using errcode = 'insufficient_privilege', hint = 'Sign in as an active staff member.';
    elsif first_day is null or last_day is null or last_day < first_day or last_day - first_day > 366 then
        raise exception 'malformed range of days' using errcode = 'invalid_parameter_value', hint = 'first_day up to last_day, at most 367 days.';
    end if;
    totals := private.dashboard_totals(since, until, only_staff);
    return totals || jsonb_build_object(
        'first_day', first_day, 'last_day', last_day, 'zone', zone, 'own_only', only_staff is not null,
        'conversion_rate', round((totals -> 'leads' ->> 'won')::numeric
            / nullif((totals -> 'leads' ->> 'won')::numeric + (totals -> 'leads' ->> 'lost')::numeric, 0), 4),
        'days', private.dashboard_days(first_day, last_day, zone, only_staff),
        'top_performers', private.dashboard_people(since, until, only_staff)
    );
end;
$$;
comment on function public.dashboard(date, date, text) is 'Staff: calls, leads, jobs, revenue, loyalty, days and people of a range of days in a time zone.';

revoke execute on function private.dashboard_totals(timestamptz, timestamptz, uuid), private.dashboard_days(date, date, text, uuid),
    private.dashboard_people(timestamptz, timestamptz, uuid) from public;
grant execute on function private.dashboard_totals(timestamptz, timestamptz, uuid), private.dashboard_days(date, date, text, uuid),
    private.dashboard_people(timestamptz, timestamptz, uuid) to authenticated, service_role;
revoke execute on function public.dashboard(date, date, text) from public, anon;
grant execute on function public.dashboard(date, date, text) to authenticated, service_role;
