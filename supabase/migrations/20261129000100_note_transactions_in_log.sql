-- Purpose: the log notes each entry's transaction, so that a reader can ask for what was committed since its snapshot.
-- Tables:  public.activity_log (column xid, index), private.activity_epoch (new).
-- Locks:   access exclusive on activity_log for an instant: entries of before keep null and nothing is rewritten. The index holds
--          only entries of afterwards.
-- Undo:    drop index activity_log_xid_idx; alter table public.activity_log drop column xid; drop table private.activity_epoch;
--          restore the bodies of private.new_sync_epoch (20261101002600) and private.prune_activity_log (20261102000600).
set lock_timeout = '2s';
set statement_timeout = '60s';

alter table public.activity_log add column xid xid8;
alter table public.activity_log alter column xid set default pg_current_xact_id();
comment on column public.activity_log.xid is 'Transaction that wrote the entry; null in entries that are older than this column. Meaningful within one epoch of private.activity_epoch.';
create index activity_log_xid_idx on public.activity_log (xid, id) where xid is not null;

create table private.activity_epoch (
    one boolean not null default true constraint activity_epoch_pkey primary key constraint activity_epoch_one_row check (one),
    epoch uuid not null default gen_random_uuid(),
    first_id bigint not null default 1,
    pruned_xid xid8 not null default '0'::xid8
);
alter table private.activity_epoch enable row level security;
revoke all on private.activity_epoch from public, anon, authenticated, service_role;
comment on table private.activity_epoch is 'One row: how far back the cursors of activity_since may reach.';
comment on column private.activity_epoch.one is 'Always true: there is one row.';
comment on column private.activity_epoch.epoch is 'Changes when transaction numbers lose their meaning: after a restore.';
comment on column private.activity_epoch.first_id is 'Entries below it belong to an earlier epoch and are not news to anybody.';
comment on column private.activity_epoch.pruned_xid is 'Youngest transaction whose entries were pruned: an older cursor has a hole.';
insert into private.activity_epoch default values;

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
        update private.activity_epoch as e set epoch = gen_random_uuid(), pruned_xid = '0'::xid8,
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
begin
    if older_than is null or older_than < interval '1 year' then
        raise exception 'older_than must be a year or more'
            using errcode = 'invalid_parameter_value', hint = 'For example interval ''2 years''.';
    end if;
    with old as (
        select l.id from public.activity_log as l where l.at < now() - older_than order by l.at limit max_rows
    ), deleted as (
        delete from public.activity_log as l using old as o where l.id = o.id returning l.xid
    )
    select count(*), (select d.xid from deleted as d where d.xid is not null order by d.xid desc limit 1)
    into pruned, youngest from deleted;
    update private.activity_epoch as e set pruned_xid = youngest where youngest > e.pruned_xid;
    return pruned;
end;
$$;
