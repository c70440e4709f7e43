-- Purpose: what the change feed does per row, without a ticket: every changed row is a deferred event of its own table, which brings the
--          row along. Here: counting the events of a transaction, and the changes that wait for the last of them.
-- Tables:  public.sync_scopes, public.sync_changes and private.sync_pending at run time.
-- Locks:   at run time the rows of the touched scopes, in sorted order, for the last moment of the transaction.
-- Undo:    drop function private.count_change, private.log_pending, private.hold_change.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.count_change()
returns boolean
language plpgsql
set search_path = ''
as $$
declare
    -- Undone with a savepoint, as the events are that it counts, and over with the transaction.
    noted text[] := string_to_array(current_setting('portal_sync.changes', true), ' ');
    tx text := pg_current_xact_id()::text;
begin
    return set_config(
        'portal_sync.changes',
        case when noted[1] = tx then tx || ' ' || (noted[2]::bigint + 1) || ' ' || noted[3] else tx || ' 1 ' end,
        true
    ) <> '';
end;
$$;
comment on function private.count_change() is 'Condition of the feed''s triggers, always true: counts the deferred events of this transaction that are still to come. Kept as "<transaction> <events> <first waiting change>".';
revoke execute on function private.count_change() from public;
-- A condition is evaluated as whoever writes.
grant execute on function private.count_change() to authenticated, service_role;

create function private.log_pending(tx xid8, from_seq bigint)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    placed record := private.place_pending(tx, from_seq);
begin
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
end;
$$;
comment on function private.log_pending(xid8, bigint) is 'Numbers and logs what waits in private.sync_pending from this seq on, and rings once per scope.';
revoke execute on function private.log_pending(xid8, bigint) from public;

create function private.hold_change(
    tx text, its_table text, row_id uuid, version bigint, left_scope text, leaving text, entered_scope text, entering jsonb
)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    noted text[] := string_to_array(current_setting('portal_sync.changes', true), ' ');
    counted boolean := coalesce(noted[1] = tx, false);
    to_come bigint := case when counted then noted[2]::bigint - 1 else 0 end;
    -- Nobody counted after "reset all": then whatever waits is looked for.
    first_seq bigint := case when counted then nullif(noted[3], '')::bigint else 0 end;
    held bigint;
begin
    if leaving is not null then
        insert into private.sync_pending as p (txid, scope, table_name, row_id, op, version, "row")
        values (tx::xid8, left_scope, its_table, row_id, leaving, version, null)
        returning p.seq into held;
        first_seq := coalesce(first_seq, held);
    end if;
    if entering is not null then
        insert into private.sync_pending as p (txid, scope, table_name, row_id, op, version, "row")
        values (tx::xid8, entered_scope, its_table, row_id, 'upsert', version, entering)
        returning p.seq into held;
        first_seq := coalesce(first_seq, held);
    end if;
    perform set_config(
        'portal_sync.changes', case when to_come > 0 then tx || ' ' || to_come || ' ' || coalesce(first_seq::text, '') else '' end, true
    );
    if to_come = 0 and first_seq is not null then
        perform private.log_pending(tx::xid8, first_seq);
    end if;
end;
$$;
comment on function private.hold_change(text, text, uuid, bigint, text, text, text, jsonb) is 'Lets a change wait in private.sync_pending; with the last one of the transaction, all that wait are numbered and logged.';
revoke execute on function private.hold_change(text, text, uuid, bigint, text, text, text, jsonb) from public;
