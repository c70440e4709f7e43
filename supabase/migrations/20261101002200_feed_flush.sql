-- Purpose: at commit, give the pending changes their numbers, write them to the log and ring once per scope.
-- Tables:  trigger on private.sync_tickets; public.sync_scopes and public.sync_changes at run time.
-- Locks:   at run time the rows of the touched scopes, in sorted order, for the last moment of the transaction.
-- Undo:    drop trigger flush on private.sync_tickets; drop function private.flush_changes, private.place_pending;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.place_pending(
    tx xid8,
    from_seq bigint,
    out scopes text[],
    out first_ns bigint[],
    out erased text[],
    out erased_ns bigint[],
    out removals boolean
)
language plpgsql
security definer
set search_path = ''
-- The estimates of a table that is nearly always empty would join thousands of pending rows in nested loops.
set enable_nestloop = off
as $$
declare
    request text := private.request_id();
begin
    with taken as (
        delete from private.sync_pending as p
        where p.txid = tx and p.seq >= from_seq
        returning p.seq, p.scope, p.table_name, p.row_id, p.op, p.version, p."row"
    ), counted as (
        select t.scope, count(*) as k from taken as t group by t.scope
    ), numbered as (
        -- Sorted, so that transactions over the same scopes queue instead of deadlocking.
        insert into public.sync_scopes as s (scope, n)
        select c.scope, c.k from counted as c order by c.scope
        on conflict (scope) do update set n = s.n + excluded.n
        returning s.scope, s.n
    ), placed as (
        select t.*, h.n - c.k + row_number() over (partition by t.scope order by t.seq) as n, h.n - c.k + 1 as first_n
        from taken as t
        join counted as c on c.scope = t.scope
        join numbered as h on h.scope = t.scope
    ), written as (
        insert into public.sync_changes (scope, n, table_name, row_id, op, version, "row", request_id, committed_at)
        select p.scope, p.n, p.table_name, p.row_id, case p.op when 'erase' then 'remove' else p.op end,
            p.version, p."row", request, clock_timestamp()
        from placed as p
    )
    select
        array_agg(p.scope) filter (where p.n = p.first_n),
        array_agg(p.first_n) filter (where p.n = p.first_n),
        array_agg(p.scope) filter (where p.op = 'erase'),
        array_agg(p.n) filter (where p.op = 'erase'),
        coalesce(bool_or(p.op <> 'upsert'), false)
    into scopes, first_ns, erased, erased_ns, removals
    from placed as p;
end;
$$;
comment on function private.place_pending(xid8, bigint) is 'Moves the pending changes of a transaction to the log with their numbers; says which scopes were touched, from which n, and which were erased.';
revoke execute on function private.place_pending(xid8, bigint) from public;

create function private.flush_changes()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    placed record;
begin
    -- The ticket goes first: a later write of the same transaction (after "set constraints all immediate") draws a new one.
    delete from private.sync_tickets as t where t.txid = new.txid;
    placed := private.place_pending(new.txid, new.first_seq);
    if placed.removals then
        perform private.blank_removed(placed.scopes, placed.first_ns);
    end if;
    if placed.erased is not null then
        perform private.erase_scopes(placed.erased, placed.erased_ns);
    end if;
    if placed.scopes is not null then
        perform private.ring_doorbells(placed.scopes);
    end if;
    return null;
end;
$$;
comment on function private.flush_changes() is 'Deferred, once per transaction: numbers and logs the pending changes, blanks what was taken back, rings.';
revoke execute on function private.flush_changes() from public;

create constraint trigger flush after insert on private.sync_tickets
deferrable initially deferred
for each row execute function private.flush_changes();
