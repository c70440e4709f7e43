-- Purpose: a doorbell for staff tools: one ring per transaction that wrote to the activity log, without row data.
-- Tables:  trigger on public.activity_log.
-- Locks:   share row exclusive on it for an instant.
-- Undo:    drop trigger ring_staff on public.activity_log; drop function private.ring_staff;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.ring_staff()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if current_setting('portal_sync.rang_staff', true) = '1' then
        return null;
    end if;
    perform set_config('portal_sync.rang_staff', '1', true);
    perform realtime.send('{}'::jsonb, 'activity', 'staff:activity', true);
    return null;
exception
    when others then
        -- A lost ring costs a look a little later; a failed write costs the work.
        raise warning 'the staff doorbell could not be rung: %', sqlerrm;
        return null;
end;
$$;
comment on function private.ring_staff() is 'AFTER INSERT, once per statement: rings staff:activity at commit, once per transaction. A ring says that there is something to read, not what.';
revoke execute on function private.ring_staff() from public;

create trigger ring_staff after insert on public.activity_log
for each statement execute function private.ring_staff();
