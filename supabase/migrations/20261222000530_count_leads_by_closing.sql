-- Purpose: the dashboard counts a lead in the range in which it was won or lost, whatever is changed about it later.
-- Tables:  reads what it read before, as the caller.
-- Locks:   none.
-- Undo:    restore private.dashboard_numbers of 20261219000140.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.dashboard_numbers(first_day date, last_day date, zone text, bounds timestamptz[], only_staff uuid)
returns json
language plpgsql
stable
set search_path = ''
-- No span makes another plan better than the one along the indexes; a custom one takes 3 ms to make at every call.
set plan_cache_mode = 'force_generic_plan'
as $$
begin
    return (
        with span as materialized (
            select bounds[1] as since, bounds[cardinality(bounds)] as until, private.dashboard_currency(bounds) as currency
        ), money as materialized (
            select m.place, m.invoiced, m.paid, m.others from private.dashboard_money(bounds, (select s.currency from span as s)) as m
        ), other_money as materialized (
            select v.currency, sum(v.total_cents) as invoiced, 0::numeric as paid
            from public.invoices as v
            where (select bool_or(m.others > 0) from money as m) and v.currency <> (select s.currency from span as s)
            and v.sent_at >= bounds[1] and v.sent_at < bounds[cardinality(bounds)] and v.status <> 'void' group by v.currency
            union all
            select v.currency, 0::numeric, sum(v.total_cents)
            from public.invoices as v
            where (select bool_or(m.others > 0) from money as m) and v.currency <> (select s.currency from span as s)
            and v.paid_at >= bounds[1] and v.paid_at < bounds[cardinality(bounds)] and v.status = 'paid' group by v.currency
        ), called as materialized (
            select p.user_id, p.calls, p.connected, p.demos_booked from private.dashboard_people(bounds, only_staff) as p
        ), lead as materialized (
            select l.assigned_to, l.status, s.since <= l.created_at and l.created_at < s.until as is_new, s.since <= l.closed_at and l.closed_at < s.until as is_recent
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
                -- The expected currency has everything that no other one has.
                select s.currency, m.invoiced, m.paid, 0 as overdue from money as m cross join span as s where s.currency is not null
                union all
                select s.currency, -o.invoiced, -o.paid, 0 from other_money as o cross join span as s
                union all
                select o.currency, o.invoiced, o.paid, 0 from other_money as o
                union all
                select i.currency, 0, 0, i.total_cents from public.invoices as i where i.status = 'overdue'
            ) as v group by v.currency
        )
        select json_build_object(
            'first_day', first_day, 'last_day', last_day, 'zone', zone, 'own_only', only_staff is not null,
            'calls', (select json_build_object('total', coalesce(sum(c.calls), 0), 'connected', coalesce(sum(c.connected), 0),
                    'demos_booked', coalesce(sum(c.demos_booked), 0)) from called as c),
            'leads', (select json_build_object('active', count(*) filter (where l.status not in ('won', 'lost')), 'new', count(*) filter (where l.is_new),
                    'won', count(*) filter (where l.status = 'won' and l.is_recent), 'lost', count(*) filter (where l.status = 'lost' and l.is_recent)) from lead as l),
            'conversion_rate', (select round(count(*) filter (where l.status = 'won')::numeric / nullif(count(*), 0), 4)
                from lead as l where l.status in ('won', 'lost') and l.is_recent),
            'jobs_by_status', (select coalesce(json_object_agg(j.status, j.total), '{}'::json) from private.dashboard_jobs(bounds) as j),
            'revenue', (select coalesce(json_agg(r order by r.currency), '[]'::json) from revenue as r),
            'loyalty', (select json_build_object('issued', coalesce(sum(t.points) filter (where t.points > 0), 0),
                    'redeemed', coalesce(-sum(t.points) filter (where t.kind = 'redeem'), 0))
                from public.loyalty_transactions as t where t.created_at >= bounds[1] and t.created_at < bounds[cardinality(bounds)]),
            'days', (select json_agg(json_build_object('day', first_day + m.place - 1, 'calls', c.total, 'jobs_completed', j.total,
                    'invoiced_cents', m.invoiced, 'paid_cents', m.paid) order by m.place)
                from money as m
                cross join lateral (select
                        -- One of the two: everybody's by time, or one person's by person and time.
                        (select count(*) from public.calls as k
                            where only_staff is null and k.started_at >= bounds[m.place] and k.started_at < bounds[m.place + 1])
                        + (select count(*) from public.calls as k
                            where k.staff_id = only_staff and k.started_at >= bounds[m.place] and k.started_at < bounds[m.place + 1]) as total) as c
                cross join lateral (select count(*) as total from public.jobs as k
                    where k.completed_at >= bounds[m.place] and k.completed_at < bounds[m.place + 1] and k.deleted_at is null) as j),
            'top_performers', (select coalesce(json_agg(p order by p.leads_won desc, p.demos_booked desc, p.calls desc, p.full_name), '[]'::json)
                from performers as p)
        )
    );
end;
$$;
