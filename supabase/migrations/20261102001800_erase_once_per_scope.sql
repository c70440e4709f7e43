-- Purpose: a customer who is erased, made anew and erased again in one transaction leaves one erasure: the last one.
-- Tables:  public.sync_scopes and public.sync_changes at run time.
-- Locks:   none of their own; the flush holds the rows of the touched scopes.
-- Undo:    restore the body of 20261101002150.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.erase_scopes(scopes text[], erased_at bigint[])
returns void
language plpgsql
security definer
set search_path = ''
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    once text[];
    up_to bigint[];
begin
    -- Cascades of the deletion are captured after the erasure; they belong to it, unless the customer was inserted anew.
    select array_agg(e.scope order by e.scope), array_agg(case when c.id is null then s.n else e.n end order by e.scope)
    into once, up_to
    from (select u.scope, max(u.n) as n from unnest(scopes, erased_at) as u (scope, n) group by u.scope) as e
    join public.sync_scopes as s on s.scope = e.scope
    left join public.customers as c on c.id = substr(e.scope, 10)::uuid;
    delete from public.sync_changes as l
    using unnest(once, up_to) as erased (scope, n)
    where l.scope = erased.scope and l.n <= erased.n;
    -- Written to again by the same transaction: a new beginning, not an end.
    update public.sync_scopes as s
    set epoch = gen_random_uuid(), floor = erased.n
    from unnest(once, up_to) as erased (scope, n)
    where s.scope = erased.scope and s.n > erased.n;
    delete from public.sync_scopes as s
    using unnest(once, up_to) as erased (scope, n)
    where s.scope = erased.scope and s.n = erased.n;
end;
$$;
