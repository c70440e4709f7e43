-- Purpose: the dashboard's days by one conversion of time zones per day instead of one per row, counted before they are joined.
-- Tables:  reads calls, jobs, invoices as the caller.
-- Locks:   none.
-- Undo:    restore the body of 20261103000800.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.dashboard_days(first_day date, last_day date, zone text, only_staff uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
    -- The first instant of each day and of the one behind the last; a row's place among them is its day.
    bounds timestamptz[] := array(
        select (first_day + d.place)::timestamp at time zone zone from generate_series(0, last_day - first_day + 1) as d (place) order by d.place
    );
    since timestamptz := bounds[1];
    until timestamptz := bounds[cardinality(bounds)];
begin
    return (
        with facts as (
            select width_bucket(c.started_at, bounds) as place, count(*) as calls, 0 as jobs, 0 as invoiced, 0 as paid
            from public.calls as c
            where c.started_at >= since and c.started_at < until and (only_staff is null or c.staff_id = only_staff) group by 1
            union all
            select width_bucket(j.completed_at, bounds), 0, count(*), 0, 0
            from public.jobs as j where j.completed_at >= since and j.completed_at < until and j.deleted_at is null group by 1
            union all
            select width_bucket(i.sent_at, bounds), 0, 0, sum(i.total_cents), 0
            from public.invoices as i where i.sent_at >= since and i.sent_at < until and i.status <> 'void' group by 1
            union all
            select width_bucket(i.paid_at, bounds), 0, 0, 0, sum(i.total_cents)
            from public.invoices as i where i.paid_at >= since and i.paid_at < until and i.status = 'paid' group by 1
        ), per_day as (
            select f.place, sum(f.calls) as calls, sum(f.jobs) as jobs, sum(f.invoiced) as invoiced, sum(f.paid) as paid from facts as f group by f.place
        )
        select jsonb_agg(jsonb_build_object('day', first_day + d.place - 1, 'calls', coalesce(p.calls, 0), 'jobs_completed', coalesce(p.jobs, 0),
            'invoiced_cents', coalesce(p.invoiced, 0), 'paid_cents', coalesce(p.paid, 0)) order by d.place)
        from generate_series(1, cardinality(bounds) - 1) as d (place) left join per_day as p on p.place = d.place
    );
end;
$$;
