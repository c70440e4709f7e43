-- Purpose: retention and a new beginning. Called by the owner, for example from pg_cron:
--          select cron.schedule('prune-feed', '17 3 * * *', 'select private.prune_sync_changes()');
-- Tables:  public.sync_scopes and public.sync_changes at run time.
-- Locks:   at run time the rows of the scopes being pruned; busy ones are skipped until the next run.
-- Undo:    drop function private.prune_sync_changes, private.new_sync_epoch;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.prune_sync_changes(older_than interval default interval '30 days', max_scopes integer default 10000)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
    pruned bigint;
begin
    if older_than is null or older_than < interval '0' then
        raise exception 'older_than must be a positive interval'
            using errcode = 'invalid_parameter_value', hint = 'For example interval ''30 days''.';
    end if;
    with old as (
        select c.scope, max(c.n) as n
        from public.sync_changes as c
        where c.committed_at < now() - older_than
        group by c.scope
        limit max_scopes
    ), locked as (
        select s.scope, greatest(s.floor, o.n) as floor
        from public.sync_scopes as s
        join old as o on o.scope = s.scope
        for update of s skip locked
    ), raised as (
        update public.sync_scopes as s set floor = l.floor from locked as l where s.scope = l.scope
    ), deleted as (
        delete from public.sync_changes as c using locked as l where c.scope = l.scope and c.n <= l.floor
        returning 1
    )
    select count(*) into pruned from deleted;
    return pruned;
end;
$$;
comment on function private.prune_sync_changes(interval, integer) is 'Deletes feed entries older than this and raises floor, so that cursors below it get must_resync. Returns how many went.';
revoke execute on function private.prune_sync_changes(interval, integer) from public;

create function private.new_sync_epoch(scope text default null)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    touched text[];
begin
    with locked as (
        select s.scope from public.sync_scopes as s
        where new_sync_epoch.scope is null or s.scope = new_sync_epoch.scope
        order by s.scope
        for update
    ), renewed as (
        update public.sync_scopes as s
        set epoch = gen_random_uuid(), floor = s.n
        from locked as l
        where s.scope = l.scope
        returning s.scope
    ), deleted as (
        delete from public.sync_changes as c using locked as l where c.scope = l.scope
    )
    select array_agg(r.scope) into touched from renewed as r;
    perform private.ring_doorbells(touched);
    return coalesce(cardinality(touched), 0);
end;
$$;
comment on function private.new_sync_epoch(text) is 'Breaks continuity on purpose, of one scope or of all (after a restore): every cursor gets must_resync. Returns how many scopes.';
revoke execute on function private.new_sync_epoch(text) from public;
