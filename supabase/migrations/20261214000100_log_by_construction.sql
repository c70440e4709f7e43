-- Purpose: what the log's checks refused can no longer be said: an entry is a remove if and only if it is written without a row. A check is parsed
--          anew by every statement that writes: the three here cost a seventh of what the feed adds to a write, and more in bulk.
-- Tables:  public.sync_changes, private.sync_pending lose their checks. Only the feed's functions write to them (tests/migrations).
-- Locks:   access exclusive on both for an instant: it waits for transactions that are writing to portal tables.
-- Undo:    alter table public.sync_changes add constraint sync_changes_op_known check (op in ('upsert', 'remove')) not valid, add constraint
--          sync_changes_remove_has_no_row check (op = 'upsert' or "row" is null) not valid; restore private.place_pending of 20261128000300;
--          alter table private.sync_pending add constraint sync_pending_op_known check (op in ('upsert', 'remove', 'erase')) not valid.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.place_pending(
    tx xid8,
    from_seq bigint,
    out scopes text[],
    out epochs uuid[],
    out heads bigint[],
    out erased text[],
    out erased_ns bigint[],
    out removed_scopes text[],
    out removed_tables text[],
    out removed_ids uuid[],
    out removed_ns bigint[]
)
language plpgsql
security definer
set search_path = ''
-- The estimates of a table that is nearly always empty would join thousands of pending rows in nested loops.
set enable_nestloop = off
as $$
declare
    request text := private.request_id();
    here uuid := private.sync_home();
begin
    with taken as (
        delete from private.sync_pending as p
        where p.txid = tx and p.seq >= from_seq
        returning p.seq, p.scope, p.table_name, p.row_id, p.op, p.version, p."row"
    ), counted as (
        select t.scope, count(*) as k from taken as t group by t.scope
    ), numbered as (
        -- Sorted, so that transactions over the same scopes queue instead of deadlocking.
        insert into public.sync_scopes as s (scope, n, home)
        select c.scope, c.k, here from counted as c order by c.scope
        on conflict (scope) do update set n = s.n + excluded.n, home = here,
            epoch = case when s.home = here then s.epoch else private.epoch_at(s.epoch, s.home, here) end
        returning s.scope, s.n, s.epoch
    ), placed as (
        select t.*, h.n - c.k + row_number() over (partition by t.scope order by t.seq) as n, h.n as head, h.epoch
        from taken as t
        join counted as c on c.scope = t.scope
        join numbered as h on h.scope = t.scope
    ), written as (
        insert into public.sync_changes (scope, n, table_name, row_id, op, version, "row", request_id, committed_at)
        select p.scope, p.n, p.table_name, p.row_id, case when p."row" is null then 'remove' else 'upsert' end,
            p.version, p."row", request, clock_timestamp()
        from placed as p
    )
    select
        array_agg(p.scope) filter (where p.n = p.head),
        array_agg(p.epoch) filter (where p.n = p.head),
        array_agg(p.head) filter (where p.n = p.head),
        array_agg(p.scope) filter (where p.op = 'erase'),
        array_agg(p.n) filter (where p.op = 'erase'),
        array_agg(p.scope) filter (where p.op = 'remove'),
        array_agg(p.table_name) filter (where p.op = 'remove'),
        array_agg(p.row_id) filter (where p.op = 'remove'),
        array_agg(p.n) filter (where p.op = 'remove')
    into scopes, epochs, heads, erased, erased_ns, removed_scopes, removed_tables, removed_ids, removed_ns
    from placed as p;
end;
$$;

-- No client writes to these tables.
-- squawk-ignore ban-drop-constraint
alter table public.sync_changes drop constraint sync_changes_op_known, drop constraint sync_changes_remove_has_no_row;
-- squawk-ignore ban-drop-constraint
alter table private.sync_pending drop constraint sync_pending_op_known;
comment on column private.sync_pending.op is 'upsert, remove, or erase: the customer of this scope is gone. What is logged is a remove if and only if row is null.';
