-- Purpose: the flush takes the first change from the ticket itself, and the counter update of a scope settles its epoch where
--          private.sync_home says that it was minted elsewhere.
-- Tables:  public.sync_scopes, public.sync_changes and private.sync_pending at run time.
-- Locks:   at run time the rows of the touched scopes, in sorted order, for the last moment of the transaction.
-- Undo:    restore private.place_pending of 20261102001100, private.flush_changes and private.place_one of 20261102001150.
set lock_timeout = '2s';
set statement_timeout = '60s';

drop function private.place_pending(xid8, bigint);

create function private.place_pending(
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
        select p.scope, p.n, p.table_name, p.row_id, case p.op when 'erase' then 'remove' else p.op end,
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
comment on function private.place_pending(xid8, bigint) is 'Moves the pending changes of a transaction to the log with their numbers; says which scopes were touched, which were erased, and which rows left.';
revoke execute on function private.place_pending(xid8, bigint) from public;

create or replace function private.flush_changes()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    placed record;
    here uuid;
    head record;
begin
    -- The ticket goes first: a later write of the same transaction (after "set constraints all immediate") draws a new one.
    delete from private.sync_tickets as t where t.txid = new.txid;
    if new.scope is not null then
        if not exists (select from private.sync_pending as p where p.txid = new.txid and p.seq >= new.first_seq) then
            here := private.sync_home();
            insert into public.sync_scopes as s (scope, n, home) values (new.scope, 1, here)
            on conflict (scope) do update set n = s.n + 1, home = here,
                epoch = case when s.home = here then s.epoch else private.epoch_at(s.epoch, s.home, here) end
            returning s.epoch, s.n into head;
            insert into public.sync_changes (scope, n, table_name, row_id, op, version, "row", request_id, committed_at)
            values (new.scope, head.n, new.table_name, new.row_id, new.op, new.version, new."row", private.request_id(), clock_timestamp());
            if new.op = 'remove' then
                perform private.blank_removed(array[new.scope], array[new.table_name], array[new.row_id], array[head.n]);
            end if;
            begin
                perform realtime.send(jsonb_build_object('epoch', head.epoch, 'n', head.n), 'sync', new.scope, true);
            exception
                when others then
                    -- As in private.ring_scopes: a lost ring costs a verify interval, a failed write the customer's change.
                    raise warning 'the doorbell could not be rung: %', sqlerrm;
            end;
            return null;
        end if;
        insert into private.sync_pending (txid, seq, scope, table_name, row_id, op, version, "row")
        overriding system value
        values (new.txid, new.first_seq, new.scope, new.table_name, new.row_id, new.op, new.version, new."row");
    end if;
    placed := private.place_pending(new.txid, new.first_seq);
    if placed.removed_ids is not null then
        perform private.blank_removed(placed.removed_scopes, placed.removed_tables, placed.removed_ids, placed.removed_ns);
    end if;
    if placed.erased is null then
        perform private.ring_scopes(placed.scopes, placed.epochs, placed.heads);
    else
        -- An erasure takes the scope away or begins a new epoch, so the heads are looked up after it.
        perform private.erase_scopes(placed.erased, placed.erased_ns);
        perform private.ring_doorbells(placed.scopes);
    end if;
    return null;
end;
$$;

drop function private.place_one(xid8, bigint);
