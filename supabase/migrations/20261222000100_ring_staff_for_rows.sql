-- Purpose: the staff's bell rings only for a transaction that wrote to the activity log. Its trigger fires for each statement on a table that is
--          audited, also for one that changed no row: a stale version, an unknown id, the same value again.
-- Tables:  trigger on public.activity_log; realtime.messages at run time.
-- Locks:   share row exclusive on public.activity_log for an instant.
-- Undo:    restore private.ring_staff of 20261201000100 and the trigger of 20261103000900.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.ring_staff()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    rung text;
begin
    if current_setting('portal_sync.rang_staff', true) = '1' then
        return null;
    end if;
    begin
        -- As in private.ring, which is tried where this fails. One statement asks whether there are rows and rings: asked apart, that would
        -- cost the writes that have some.
        insert into realtime.messages (id, payload, event, topic, private, extension)
        select m.id, jsonb_build_object('id', m.id), 'activity', 'staff:activity', true, 'broadcast'
        from (select gen_random_uuid() as id) as m
        where exists (select from new_rows);
        if not found then
            return null;
        end if;
    exception
        when others then
            if not exists (select from new_rows) then
                return null;
            end if;
            rung := private.ring('staff:activity', 'activity', '{}');
    end;
    -- Assigned, not performed: an expression costs a tenth of a query.
    rung := set_config('portal_sync.rang_staff', '1', true);
    return null;
end;
$$;
comment on function private.ring_staff() is 'AFTER INSERT, once per statement: rings staff:activity at commit when there are new rows, once per transaction. A ring says that there is something to read, not what.';

create or replace trigger ring_staff after insert on public.activity_log referencing new table as new_rows
for each statement execute function private.ring_staff();
