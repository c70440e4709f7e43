-- Purpose: the first change of a transaction travels in its ticket, which the flush gets for nothing: a transaction with one
--          change, which is nearly every one, no longer writes to private.sync_pending and deletes from it again.
-- Tables:  private.sync_tickets gets the columns of a change; it is emptied, it holds rows of running transactions alone.
-- Locks:   access exclusive on private.sync_tickets: it waits for transactions that are writing to portal tables.
-- Undo:    restore private.capture_changes of 20261101002100 and private.flush_changes of 20261102001150; drop the columns
--          that are added here.
set lock_timeout = '2s';
set statement_timeout = '60s';

alter table private.sync_tickets
add column scope text,
add column table_name text,
add column row_id uuid,
add column op text,
add column version bigint,
add column "row" jsonb;
comment on column private.sync_tickets.scope is 'Of the first change, when its statement made only that one: as in sync_changes. Null: all changes are pending.';
comment on column private.sync_tickets.table_name is 'As in sync_changes.';
comment on column private.sync_tickets.row_id is 'As in sync_changes.';
comment on column private.sync_tickets.op is 'As in sync_changes.';
comment on column private.sync_tickets.version is 'As in sync_changes.';
comment on column private.sync_tickets."row" is 'As in sync_changes.';

create or replace function private.capture_changes()
returns trigger
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
-- The plan is cached from statements of one row; joined in nested loops, 10,000 rows would take minutes.
set enable_nestloop = off
as $$
#variable_conflict use_column
declare
    tx xid8 := pg_current_xact_id();
    first_seq bigint;
    one record;
    one_scope text;
    one_op text := 'upsert';
begin
    -- Statements of one row, which nearly all are: no join, no temporary sets, and the first change needs no pending row.
    if tg_op = 'INSERT' then
        select n.id, n.version, to_jsonb(n) as "row", (select count(*) from (select from new_rows limit 2) as few) as k
        into one from new_rows as n limit 1;
        one_scope := private.visible_scope(tg_table_name, one."row");
    elsif tg_op = 'UPDATE' then
        select n.id, n.version, to_jsonb(n) as "row", o.version as old_version, to_jsonb(o) as old_row,
            (select count(*) from (select from new_rows limit 2) as few) as k
        into one from new_rows as n cross join old_rows as o limit 1;
        if one.k = 1 then
            one_scope := private.visible_scope(tg_table_name, one."row");
            if one_scope is not distinct from private.visible_scope(tg_table_name, one.old_row) then
                if one.version = one.old_version then
                    return null;
                end if;
            elsif one_scope is null then
                one_scope := private.visible_scope(tg_table_name, one.old_row);
                one_op := 'remove';
                one."row" := null;
            elsif private.visible_scope(tg_table_name, one.old_row) is not null then
                one.k := 2; -- moved: two changes
            end if;
        end if;
    elsif tg_table_name <> 'customers' then
        select o.id, o.version + 1 as version, null::jsonb as "row", private.visible_scope(tg_table_name, to_jsonb(o)) as scope,
            (select count(*) from (select from old_rows limit 2) as few) as k
        into one from old_rows as o limit 1;
        one_scope := one.scope;
        one_op := 'remove';
    else
        select count(*) * 2 as k into one from old_rows;
    end if;
    if coalesce(one.k, 0) = 0 or (one.k = 1 and one_scope is null) then
        return null;
    elsif one.k = 1 then
        insert into private.sync_tickets (txid, first_seq, scope, table_name, row_id, op, version, "row")
        values (tx, nextval('private.sync_pending_seq_seq'), one_scope, tg_table_name, one.id, one_op, one.version, one."row")
        on conflict do nothing;
        if not found then
            insert into private.sync_pending (txid, scope, table_name, row_id, op, version, "row")
            values (tx, one_scope, tg_table_name, one.id, one_op, one.version, one."row");
        end if;
        return null;
    end if;
    if tg_op = 'INSERT' then
        with added as (
            insert into private.sync_pending (txid, scope, table_name, row_id, op, version, "row")
            select tx, seen.scope, tg_table_name, n.id, 'upsert', n.version, seen."row"
            from new_rows as n
            cross join lateral (select to_jsonb(n) as "row", private.visible_scope(tg_table_name, to_jsonb(n)) as scope) as seen
            where seen.scope is not null
            returning seq
        )
        select min(added.seq) into first_seq from added;
    elsif tg_op = 'UPDATE' then
        with pair as (
            select n.id, n.version, o.version as old_version, after."row", after.scope,
                private.visible_scope(tg_table_name, to_jsonb(o)) as old_scope
            from old_rows as o
            join new_rows as n on n.id = o.id
            cross join lateral (select to_jsonb(n) as "row", private.visible_scope(tg_table_name, to_jsonb(n)) as scope) as after
        ), added as (
            insert into private.sync_pending (txid, scope, table_name, row_id, op, version, "row")
            select tx, p.old_scope, tg_table_name, p.id, 'remove', p.version, null
            from pair as p
            where p.old_scope is not null and p.old_scope is distinct from p.scope
            union all
            select tx, p.scope, tg_table_name, p.id, 'upsert', p.version, p."row"
            from pair as p
            where p.scope is not null and (p.scope is distinct from p.old_scope or p.version <> p.old_version)
            returning seq
        )
        select min(added.seq) into first_seq from added;
    else
        with added as (
            insert into private.sync_pending (txid, scope, table_name, row_id, op, version, "row")
            select tx, gone.scope, tg_table_name, o.id, gone.op, o.version + 1, null
            from old_rows as o
            cross join lateral (
                select private.visible_scope(tg_table_name, to_jsonb(o)) as scope, 'remove' as op
                where tg_table_name <> 'customers'
                union all
                select 'customer:' || o.id, 'erase'
                where tg_table_name = 'customers'
            ) as gone
            where gone.scope is not null
            returning seq
        )
        select min(added.seq) into first_seq from added;
    end if;
    if first_seq is not null then
        insert into private.sync_tickets (txid, first_seq) values (tx, first_seq) on conflict do nothing;
    end if;
    return null;
end;
$$;
