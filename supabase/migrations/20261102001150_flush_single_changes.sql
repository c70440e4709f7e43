-- Purpose: a transaction with one change, which is nearly every one, is numbered and logged by two plain statements, and the
--          doorbell is told the head instead of looking it up. Measured: 0.38 ms at commit before, 0.2 ms after.
-- Tables:  public.sync_scopes, public.sync_changes and private.sync_pending at run time.
-- Locks:   at run time the rows of the touched scopes, in sorted order, for the last moment of the transaction.
-- Undo:    restore private.flush_changes of 20261101002200 and private.ring_doorbells(text[]) of 20261101002150.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.ring_scopes(scopes text[], epochs uuid[], heads bigint[])
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    for place in 1 .. coalesce(cardinality(scopes), 0) loop
        perform realtime.send(
            jsonb_build_object('epoch', epochs[place], 'n', heads[place]), 'sync', scopes[place], true
        );
    end loop;
exception
    when others then
        -- A lost ring costs a verify interval; a failed write costs the customer's change.
        raise warning 'the doorbell could not be rung: %', sqlerrm;
end;
$$;
comment on function private.ring_scopes(text[], uuid[], bigint[]) is 'Sends {epoch, n} to the private topic of each scope. Never fails the transaction.';
revoke execute on function private.ring_scopes(text[], uuid[], bigint[]) from public;

create function private.place_one(tx xid8, from_seq bigint)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    change private.sync_pending;
    head public.sync_scopes;
begin
    delete from private.sync_pending as p where p.txid = tx and p.seq = from_seq returning p.* into change;
    insert into public.sync_scopes as s (scope, n) values (change.scope, 1)
    on conflict (scope) do update set n = s.n + 1 returning s.* into head;
    insert into public.sync_changes (scope, n, table_name, row_id, op, version, "row", request_id, committed_at)
    values (change.scope, head.n, change.table_name, change.row_id, change.op, change.version, change."row",
        private.request_id(), clock_timestamp());
    if change.op = 'remove' then
        perform private.blank_removed(array[change.scope], array[change.row_id], array[head.n]);
    end if;
    perform private.ring_scopes(array[change.scope], array[head.epoch], array[head.n]);
end;
$$;
comment on function private.place_one(xid8, bigint) is 'What a flush does for a transaction with a single change, which is no erasure.';
revoke execute on function private.place_one(xid8, bigint) from public;

create or replace function private.flush_changes()
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
    if not exists (
        select from private.sync_pending as p
        where p.txid = new.txid and p.seq >= new.first_seq and (p.seq > new.first_seq or p.op = 'erase')
    ) then
        perform private.place_one(new.txid, new.first_seq);
        return null;
    end if;
    placed := private.place_pending(new.txid, new.first_seq);
    if placed.removed_ids is not null then
        perform private.blank_removed(placed.removed_scopes, placed.removed_ids, placed.removed_ns);
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
