-- Purpose: who signed a message is asked once. private.fill_sender asked for it up to six times (kind, uid, name, and the uid again for each row of
--          staff that the name was looked for in), and each time reads the claims from JSON: an eighth of what a message inserted through the API cost.
-- Tables:  reads staff and, for a customer, customers at run time.
-- Locks:   none.
-- Undo:    restore private.fill_sender and private.my_name of 20261101001500; drop function private.caller (after undoing 20261220000010).
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.caller(out uid uuid, out staff_name text)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    uid := auth.uid();
    if uid is not null then
        staff_name := (select s.full_name from public.staff as s where s.user_id = uid and s.active);
    end if;
exception
    when data_exception then
        null; -- malformed claims: nobody; a raising helper would silence Realtime for the whole project
end;
$$;
comment on function private.caller() is
    'The signed-in user and, if that is an active member of staff, their name: what current_uid() and is_staff() say, with one look at the claims.';
revoke execute on function private.caller() from public;
grant execute on function private.caller() to authenticated, service_role;

create or replace function private.my_name()
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    who uuid := private.current_uid();
begin
    return coalesce(
        (select s.full_name from public.staff as s where s.user_id = who and s.active),
        (select c.name from public.customers as c where c.portal_user_id = who)
    );
end;
$$;

create or replace function private.fill_sender()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    caller record;
begin
    -- The owner and the secret key may write in somebody's name (imports); a signed-in user only in their own.
    if current_user = 'authenticated' then
        caller := private.caller();
        new.sender := case when caller.staff_name is null then 'customer' else 'staff' end;
        new.sender_id := caller.uid;
        new.sender_name := coalesce(caller.staff_name, private.my_name(), new.sender_name);
        new.read_at := null;
    end if;
    return new;
end;
$$;
