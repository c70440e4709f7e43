-- Purpose: the first change of a transaction, which nearly always is the only one, is counted by two expressions instead of four.
-- Tables:  none.
-- Locks:   none.
-- Undo:    restore private.count_change of 20261201000200.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.count_change()
returns boolean
language plpgsql
set search_path = ''
as $$
declare
    noted text[];
begin
    -- A setting is undone with a savepoint, as the events are that it counts, and over with the transaction.
    if current_setting('portal_sync.changes', true) <> '' then
        noted := string_to_array(current_setting('portal_sync.changes', true), ' ');
        if noted[1] = pg_current_xact_id()::text then
            return set_config(
                'portal_sync.changes', concat_ws(' ', noted[1], coalesce(noted[2], '1')::bigint + 1, nullif(noted[3], '')), true
            ) <> '';
        end if;
    end if;
    return set_config('portal_sync.changes', pg_current_xact_id()::text, true) is not null;
end;
$$;
comment on function private.count_change() is 'Condition of the feed''s triggers, always true: counts the deferred events of this transaction that are still to come. Kept as "<transaction>" for one, else as "<transaction> <events> <first waiting change>".';
