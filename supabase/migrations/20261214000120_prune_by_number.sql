-- Purpose: retention finds what is old by number: without gaps, the oldest entry of a scope is floor + 1, and what follows is deleted anyway. The
--          index on the time, which every change had to keep and lock, goes.
-- Tables:  public.sync_changes loses an index; public.sync_scopes and public.sync_changes at run time.
-- Locks:   access exclusive on public.sync_changes for an instant: it waits for transactions that are committing writes to portal tables.
--          At run time the rows of the scopes being pruned; busy ones are skipped until the next run.
-- Undo:    create index sync_changes_committed_at_idx on public.sync_changes using brin (committed_at); restore private.prune_sync_changes of
--          20261128000700.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.prune_sync_changes(older_than interval default interval '30 days', max_scopes integer default 10000)
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
            using errcode = 'invalid_parameter_value', detail = format('older_than: %s', coalesce(older_than::text, 'null')), hint = 'For example interval ''30 days''.';
    end if;
    with old as (
        select s.scope
        from public.sync_scopes as s
        join public.sync_changes as oldest on oldest.scope = s.scope and oldest.n = s.floor + 1
        where oldest.committed_at < now() - older_than
        limit max_scopes
    ), locked as (
        select s.scope, s.floor
        from public.sync_scopes as s
        join old as o on o.scope = s.scope
        for update of s skip locked
    ), aged as (
        -- What was committed after this snapshot is neither counted nor deleted, so n itself does not serve.
        select l.scope, coalesce(
            (select c.n - 1 from public.sync_changes as c
                where c.scope = l.scope and c.n > l.floor and c.committed_at >= now() - older_than order by c.n limit 1),
            (select c.n from public.sync_changes as c where c.scope = l.scope order by c.n desc limit 1)
        ) as floor
        from locked as l
    ), raised as (
        update public.sync_scopes as s set floor = greatest(s.floor, a.floor) from aged as a where s.scope = a.scope
    ), deleted as (
        delete from public.sync_changes as c using aged as a where c.scope = a.scope and c.n <= a.floor
        returning 1
    )
    select count(*) into pruned from deleted;
    return pruned;
end;
$$;

-- Dropping it is a matter of the catalogue; concurrently it cannot be done inside a migration.
-- squawk-ignore require-concurrent-index-deletion
drop index public.sync_changes_committed_at_idx;
