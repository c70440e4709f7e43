-- Purpose: the staff's log notes where each entry was written, and where its epoch was minted, so that a restored, copied or promoted
--          database is noticed as the customers' feed notices it: transaction numbers mean nothing there.
-- Tables:  columns on public.activity_log and private.activity_epoch.
-- Locks:   access exclusive on both for an instant; no row is rewritten.
-- Undo:    restore private.activity_bounds of 20261129000200, private.new_sync_epoch and private.prune_activity_log of 20261129000100;
--          drop both columns. First undo 20261201000650.
set lock_timeout = '2s';
set statement_timeout = '60s';

-- A stable default: existing rows get its value without being rewritten. A restore brings it back, which is the point.
-- squawk-ignore adding-field-with-default
alter table public.activity_log add column home uuid not null default private.sync_home();
comment on column public.activity_log.home is 'Where the entry was written (private.sync_home): xid means something there only.';
-- squawk-ignore adding-field-with-default
alter table private.activity_epoch add column home uuid not null default private.sync_home();
comment on column private.activity_epoch.home is 'Where epoch was minted (private.sync_home); elsewhere another one counts, derived from both.';

create or replace function private.activity_bounds()
returns table (epoch uuid, first_id bigint, pruned_xid xid8)
language sql
stable
security definer
set search_path = ''
as $$
    select private.epoch_at(e.epoch, e.home, h.here), e.first_id, case when e.home = h.here then e.pruned_xid else '0'::xid8 end
    from private.activity_epoch as e cross join (select private.sync_home() as here) as h;
$$;

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
    if new_sync_epoch.scope is null then
        -- Waits for writers, so that no entry of theirs falls below first_id unseen.
        lock table public.activity_log in share mode;
        update private.activity_epoch as e set epoch = gen_random_uuid(), home = private.sync_home(), pruned_xid = '0'::xid8,
            first_id = coalesce((select max(l.id) from public.activity_log as l), 0) + 1;
    end if;
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

create or replace function private.prune_activity_log(older_than interval default interval '2 years', max_rows integer default 100000)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
    pruned bigint;
    youngest xid8;
    here uuid := private.sync_home();
begin
    if older_than is null or older_than < interval '1 year' then
        raise exception 'older_than must be a year or more'
            using errcode = 'invalid_parameter_value', hint = 'For example interval ''2 years''.';
    end if;
    with old as (
        select l.id from public.activity_log as l where l.at < now() - older_than order by l.at limit max_rows
    ), deleted as (
        delete from public.activity_log as l using old as o where l.id = o.id returning l.xid, l.home
    )
    select count(*), (select d.xid from deleted as d where d.xid is not null and d.home = here order by d.xid desc limit 1)
    into pruned, youngest from deleted;
    update private.activity_epoch as e
    set epoch = private.epoch_at(e.epoch, e.home, here), home = here, pruned_xid = youngest
    where youngest > e.pruned_xid or (youngest is not null and e.home <> here);
    return pruned;
end;
$$;
