-- Purpose: the parts of the dashboard count and sum along its indexes without grouping rows: jobs status by status, calls person by person,
--          money day by day. In PL/pgSQL, so that plans are kept for the session: before PostgreSQL 18 an SQL function is planned at each call.
-- Tables:  reads jobs, calls, invoices, staff as the caller.
-- Locks:   none.
-- Undo:    drop private.dashboard_jobs, private.dashboard_currency and private.dashboard_money(timestamptz[], text); restore
--          private.dashboard_people of 20261211000100.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.dashboard_jobs(bounds timestamptz[])
returns table (status text, total bigint)
language plpgsql
stable
set search_path = ''
as $$
begin
    return query
    -- Each status that occurs, by one step along the index; then its jobs.
    with recursive known (status) as (
        (select k.status from public.jobs as k where k.deleted_at is null order by k.status limit 1)
        union all
        select (select k.status from public.jobs as k where k.deleted_at is null and k.status > s.status order by k.status limit 1)
        from known as s where s.status is not null
    )
    select s.status, j.total
    from known as s
    cross join lateral (
        select count(*) as total from public.jobs as k
        where k.status = s.status and k.created_at >= bounds[1] and k.created_at < bounds[cardinality(bounds)] and k.deleted_at is null
    ) as j
    where j.total > 0;
end;
$$;
comment on function private.dashboard_jobs(timestamptz[]) is 'Jobs by status that were created between the first and the last bound.';

create function private.dashboard_currency(bounds timestamptz[])
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
    return (
        select coalesce(
            (select v.currency from public.invoices as v
                where v.sent_at >= bounds[1] and v.sent_at < bounds[cardinality(bounds)] and v.status <> 'void' order by v.sent_at desc limit 1),
            (select v.currency from public.invoices as v
                where v.paid_at >= bounds[1] and v.paid_at < bounds[cardinality(bounds)] and v.status = 'paid' order by v.paid_at desc limit 1)
        )
    );
end;
$$;
comment on function private.dashboard_currency(timestamptz[]) is
'The currency of the last invoice that was sent, else paid, between the first and the last bound: most likely the only one. Null without invoices.';

create function private.dashboard_money(bounds timestamptz[], expected text)
returns table (place integer, invoiced numeric, paid numeric, others bigint)
language plpgsql
stable
set search_path = ''
as $$
begin
    return query
    select d.place, s.cents, p.cents, s.others + p.others
    from generate_series(1, cardinality(bounds) - 1) as d (place)
    cross join lateral (
        select coalesce(sum(v.total_cents), 0) as cents, count(*) filter (where v.currency <> expected) as others from public.invoices as v
        where v.sent_at >= bounds[d.place] and v.sent_at < bounds[d.place + 1] and v.status <> 'void'
    ) as s
    cross join lateral (
        select coalesce(sum(v.total_cents), 0) as cents, count(*) filter (where v.currency <> expected) as others from public.invoices as v
        where v.paid_at >= bounds[d.place] and v.paid_at < bounds[d.place + 1] and v.status = 'paid'
    ) as p;
end;
$$;
comment on function private.dashboard_money(timestamptz[], text) is
'Cents invoiced and paid per day in all currencies, and how many of these invoices have another currency than the expected one.';

create or replace function private.dashboard_people(bounds timestamptz[], only_staff uuid)
returns table (user_id uuid, calls bigint, connected bigint, demos_booked bigint)
language plpgsql
stable
set search_path = ''
as $$
begin
    return query
    select s.user_id, c.calls, c.connected, c.demos_booked
    from public.staff as s
    cross join lateral (
        select count(*) as calls, count(*) filter (where k.outcome = 'connected') as connected,
            count(*) filter (where k.outcome = 'demo_booked') as demos_booked
        from public.calls as k
        where k.staff_id = s.user_id and k.started_at >= bounds[1] and k.started_at < bounds[cardinality(bounds)]
    ) as c
    where only_staff is null or s.user_id = only_staff
    union all
    -- Calls of people who were removed belong to nobody, but to the totals.
    select null, count(*), count(*) filter (where k.outcome = 'connected'), count(*) filter (where k.outcome = 'demo_booked')
    from public.calls as k
    where only_staff is null and k.staff_id is null and k.started_at >= bounds[1] and k.started_at < bounds[cardinality(bounds)];
end;
$$;
comment on function private.dashboard_people(timestamptz[], uuid) is
'Calls per member of staff between the first and the last bound, those of nobody with a null; an agent gets the own ones.';

revoke execute on function private.dashboard_jobs(timestamptz[]), private.dashboard_currency(timestamptz[]),
    private.dashboard_money(timestamptz[], text) from public;
grant execute on function private.dashboard_jobs(timestamptz[]), private.dashboard_currency(timestamptz[]),
    private.dashboard_money(timestamptz[], text) to authenticated, service_role;
