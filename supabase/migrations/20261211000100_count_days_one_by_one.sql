-- Purpose: the dashboard reads each row of its range once per use, a day at a time by its index, instead of finding the day of each row.
--          Measured over 200,000 jobs, a year, in the database: 66 ms before, 39 ms after.
-- Tables:  reads calls, leads, jobs, invoices, loyalty_transactions, staff as the caller.
-- Locks:   none.
-- Undo:    restore private.dashboard_totals and public.dashboard of 20261103000800, private.dashboard_people of there, and
--          private.dashboard_days of 20261130100100; drop the three functions made here.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.dashboard_money(bounds timestamptz[])
returns table (place integer, currency text, invoiced bigint, paid bigint)
language sql
stable
set search_path = ''
as $$
    select d.place, i.currency, i.cents, 0::bigint
    from generate_series(1, cardinality(bounds) - 1) as d (place)
    cross join lateral (
        select v.currency, sum(v.total_cents)::bigint as cents from public.invoices as v
        where v.sent_at >= bounds[d.place] and v.sent_at < bounds[d.place + 1] and v.status <> 'void' group by v.currency
    ) as i
    union all
    select d.place, i.currency, 0::bigint, i.cents
    from generate_series(1, cardinality(bounds) - 1) as d (place)
    cross join lateral (
        select v.currency, sum(v.total_cents)::bigint as cents from public.invoices as v
        where v.paid_at >= bounds[d.place] and v.paid_at < bounds[d.place + 1] and v.status = 'paid' group by v.currency
    ) as i
$$;
comment on function private.dashboard_money(timestamptz[]) is 'Cents invoiced and paid per day and currency; the days lie between the bounds.';

create function private.dashboard_people(bounds timestamptz[], only_staff uuid)
returns table (user_id uuid, calls bigint, connected bigint, demos_booked bigint)
language sql
stable
set search_path = ''
-- The few members of staff are hashed; a plan that does not know the bounds takes the calls for few and sorts them.
set enable_sort = 'off'
as $$
    select c.staff_id, count(*), count(*) filter (where c.outcome = 'connected'), count(*) filter (where c.outcome = 'demo_booked')
    from public.calls as c
    where c.started_at >= bounds[1] and c.started_at < bounds[cardinality(bounds)] and (only_staff is null or c.staff_id = only_staff)
    group by c.staff_id
$$;
comment on function private.dashboard_people(timestamptz[], uuid) is 'Calls per member of staff between the first and the last bound.';

create function private.dashboard_numbers(first_day date, bounds timestamptz[], only_staff uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
    with span as materialized (
        select bounds[1] as since, bounds[cardinality(bounds)] as until
    ), money as materialized (
        select m.place, m.currency, m.invoiced, m.paid from private.dashboard_money(bounds) as m
    ), called as materialized (
        select p.user_id, p.calls, p.connected, p.demos_booked from private.dashboard_people(bounds, only_staff) as p
    ), lead as materialized (
        select l.assigned_to, l.status, s.since <= l.created_at and l.created_at < s.until as is_new, s.since <= l.updated_at and l.updated_at < s.until as is_recent
        from public.leads as l cross join span as s
    ), winners as (
        select l.assigned_to as user_id, count(*) as leads_won from lead as l where l.status = 'won' and l.is_recent group by l.assigned_to
    ), performers as (
        select s.user_id, s.full_name, coalesce(c.calls, 0) as calls, coalesce(c.demos_booked, 0) as demos_booked, coalesce(w.leads_won, 0) as leads_won
        from public.staff as s left join called as c on c.user_id = s.user_id left join winners as w on w.user_id = s.user_id
        where (only_staff is null or s.user_id = only_staff) and (c.calls > 0 or w.leads_won > 0)
        order by leads_won desc, demos_booked desc, calls desc, full_name limit 10
    ), revenue as (
        select v.currency, sum(v.invoiced)::bigint as invoiced_cents, sum(v.paid)::bigint as paid_cents, sum(v.overdue)::bigint as overdue_cents
        from (
            select m.currency, m.invoiced, m.paid, 0 as overdue from money as m
            union all
            select i.currency, 0, 0, i.total_cents from public.invoices as i where i.status = 'overdue'
        ) as v group by v.currency
    ), money_of_day as (
        select m.place, sum(m.invoiced) as invoiced, sum(m.paid) as paid from money as m group by m.place
    )
    select jsonb_build_object(
        'calls', (select jsonb_build_object('total', coalesce(sum(c.calls), 0), 'connected', coalesce(sum(c.connected), 0),
                'demos_booked', coalesce(sum(c.demos_booked), 0)) from called as c),
        'leads', (select jsonb_build_object('active', count(*) filter (where l.status not in ('won', 'lost')), 'new', count(*) filter (where l.is_new),
                'won', count(*) filter (where l.status = 'won' and l.is_recent), 'lost', count(*) filter (where l.status = 'lost' and l.is_recent)) from lead as l),
        'conversion_rate', (select round(count(*) filter (where l.status = 'won')::numeric / nullif(count(*), 0), 4)
            from lead as l where l.status in ('won', 'lost') and l.is_recent),
        'jobs_by_status', (select coalesce(jsonb_object_agg(j.status, j.total), '{}'::jsonb) from (
            select k.status, count(*) as total from public.jobs as k
            where k.created_at >= bounds[1] and k.created_at < bounds[cardinality(bounds)] and k.deleted_at is null group by k.status) as j),
        'revenue', (select coalesce(jsonb_agg(to_jsonb(r) order by r.currency), '[]'::jsonb) from revenue as r),
        'loyalty', (select jsonb_build_object('issued', coalesce(sum(t.points) filter (where t.points > 0), 0),
                'redeemed', coalesce(-sum(t.points) filter (where t.kind = 'redeem'), 0))
            from public.loyalty_transactions as t where t.created_at >= bounds[1] and t.created_at < bounds[cardinality(bounds)]),
        'days', (select jsonb_agg(jsonb_build_object('day', first_day + d.place - 1, 'calls', c.total, 'jobs_completed', j.total,
                'invoiced_cents', coalesce(m.invoiced, 0), 'paid_cents', coalesce(m.paid, 0)) order by d.place)
            from generate_series(1, cardinality(bounds) - 1) as d (place)
            cross join lateral (select count(*) as total from public.calls as k
                where k.started_at >= bounds[d.place] and k.started_at < bounds[d.place + 1] and (only_staff is null or k.staff_id = only_staff)) as c
            cross join lateral (select count(*) as total from public.jobs as k
                where k.completed_at >= bounds[d.place] and k.completed_at < bounds[d.place + 1] and k.deleted_at is null) as j
            left join money_of_day as m on m.place = d.place),
        'top_performers', (select coalesce(jsonb_agg(to_jsonb(p) order by p.leads_won desc, p.demos_booked desc, p.calls desc, p.full_name), '[]'::jsonb)
            from performers as p)
    );
$$;
comment on function private.dashboard_numbers(date, timestamptz[], uuid) is
'Totals, days and people of the days between the bounds, under the caller''s policies; overdue is as of now. Each range is read by an index on its time.';

create or replace function public.dashboard(first_day date, last_day date, zone text default 'UTC')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
    only_staff uuid := case when not (select private.is_manager()) then (select private.current_uid()) end;
    bounds timestamptz[];
begin
    if not (select private.is_staff()) then
        raise exception 'only staff may read the dashboard' using errcode = 'insufficient_privilege', hint = 'Sign in as an active staff member.';
    elsif first_day is null or last_day is null or last_day < first_day or last_day - first_day > 366 then
        raise exception 'malformed range of days' using errcode = 'invalid_parameter_value', hint = 'first_day up to last_day, at most 367 days.';
    end if;
    -- The first instant of each day and of the one behind the last.
    bounds := array(
        select (first_day + d.place)::timestamp at time zone zone from generate_series(0, last_day - first_day + 1) as d (place) order by d.place
    );
    return private.dashboard_numbers(first_day, bounds, only_staff)
        || jsonb_build_object('first_day', first_day, 'last_day', last_day, 'zone', zone, 'own_only', only_staff is not null);
end;
$$;

drop function private.dashboard_totals(timestamptz, timestamptz, uuid);
drop function private.dashboard_days(date, date, text, uuid);
drop function private.dashboard_people(timestamptz, timestamptz, uuid);

revoke execute on function private.dashboard_money(timestamptz[]), private.dashboard_people(timestamptz[], uuid),
    private.dashboard_numbers(date, timestamptz[], uuid) from public;
grant execute on function private.dashboard_money(timestamptz[]), private.dashboard_people(timestamptz[], uuid),
    private.dashboard_numbers(date, timestamptz[], uuid) to authenticated, service_role;
