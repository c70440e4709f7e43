-- Purpose: write down, statement by statement, what entered, changed in or left which scope.
-- Tables:  private.sync_pending, private.sync_tickets at run time.
-- Locks:   none.
-- Undo:    drop function private.capture_changes, private.visible_scope;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.visible_scope(table_name text, "row" jsonb)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
    -- The one definition of the customer's slice; the policies and portal_snapshot say the same in their own words.
    if "row" ->> 'deleted_at' is not null then
        return null;
    elsif table_name = 'customers' then
        return 'customer:' || ("row" ->> 'id');
    elsif table_name = 'invoices' and "row" ->> 'status' = 'draft' then
        return null;
    end if;
    return 'customer:' || ("row" ->> 'customer_id');
end;
$$;
comment on function private.visible_scope(text, jsonb) is 'The scope that may see this row of a portal table, or null when no customer may.';
revoke execute on function private.visible_scope(text, jsonb) from public;

create function private.capture_changes()
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
begin
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
comment on function private.capture_changes() is 'AFTER each statement on a portal table: pending feed entries for the scopes that see a difference, and a ticket for the flush.';
revoke execute on function private.capture_changes() from public;
