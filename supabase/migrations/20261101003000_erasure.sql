-- Purpose: hard deleting a customer (owner only) erases what the log knows about them. The feed erases the scope by itself.
-- Tables:  trigger on public.customers; public.activity_log at run time.
-- Locks:   share row exclusive on public.customers for an instant.
-- Undo:    drop trigger zz_erase_log on public.customers; drop function private.erase_log;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.erase_log()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    delete from public.activity_log as l using old_rows as o where l.customer_id = o.id;
    insert into public.activity_log (table_name, row_id, customer_id, op, actor, actor_kind, request_id)
    select 'customers', o.id::text, o.id, 'delete', private.current_uid(), private.actor_kind(), private.request_id()
    from old_rows as o;
    return null;
end;
$$;
comment on function private.erase_log() is 'AFTER DELETE on customers: removes every log entry of the customer and leaves one without values.';
revoke execute on function private.erase_log() from public;

create trigger zz_erase_log after delete on public.customers
referencing old table as old_rows
for each statement execute function private.erase_log();
