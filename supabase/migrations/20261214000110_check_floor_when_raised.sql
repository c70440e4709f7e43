-- Purpose: floor is compared with n when floor changes, not with every change of a customer's rows: a check is parsed anew by each statement.
-- Tables:  public.sync_scopes: a trigger instead of a check. n only grows (private.flush_row, private.place_pending).
-- Locks:   access exclusive on it for an instant: it waits for transactions that are committing writes to portal tables.
-- Undo:    drop trigger floor_within on public.sync_scopes; drop function private.refuse_floor;
--          alter table public.sync_scopes add constraint sync_scopes_floor_within check (floor between 0 and n) not valid.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.refuse_floor()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception 'floor is not between 0 and n'
        using errcode = 'check_violation', schema = 'public', table = 'sync_scopes', column = 'floor',
            detail = format('scope: %s, floor: %s, n: %s', new.scope, new.floor, new.n),
            hint = 'Let private.prune_sync_changes raise it.';
end;
$$;
comment on function private.refuse_floor() is 'AFTER INSERT OR UPDATE OF floor on sync_scopes, where it lies outside 0 to n: refuses.';
revoke execute on function private.refuse_floor() from public;

create trigger floor_within after insert or update of floor on public.sync_scopes
for each row when (new.floor < 0 or new.floor > new.n) execute function private.refuse_floor();

-- The trigger above takes its place.
-- squawk-ignore ban-drop-constraint
alter table public.sync_scopes drop constraint sync_scopes_floor_within;
