-- Purpose: an epoch that is drawn anew is bound to the database that draws it.
-- Tables:  public.sync_scopes and public.sync_changes at run time.
-- Locks:   at run time the rows of the scopes concerned.
-- Undo:    restore private.new_sync_epoch of 20261101002600.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.new_sync_epoch(scope text default null)
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
        set epoch = gen_random_uuid(), home = private.sync_home(), floor = s.n
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
