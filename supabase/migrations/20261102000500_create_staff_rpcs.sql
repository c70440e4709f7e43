-- Purpose: admins manage staff through checked calls; the table itself stays closed to signed-in users.
-- Tables:  public.staff at run time.
-- Locks:   none.
-- Undo:    drop function public.create_staff, public.update_staff, private.create_staff, private.update_staff, private.require_admin;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.require_admin(action text)
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    if current_setting('role', true) = 'authenticated' and not private.is_admin() then
        raise exception 'only admins may %', action
            using errcode = 'insufficient_privilege', hint = 'Ask an admin.';
    end if;
end;
$$;
comment on function private.require_admin(text) is 'Raises 42501 for a signed-in user who is not an active admin.';

create function private.create_staff(user_id uuid, full_name text, email text, role text)
returns public.staff
language plpgsql
security definer
set search_path = ''
as $$
declare
    made public.staff;
begin
    perform private.require_admin('add staff');
    if exists (select from public.customers as c where c.portal_user_id = create_staff.user_id) then
        raise exception 'this login belongs to a customer'
            using errcode = 'PT409', detail = format('user: %s', create_staff.user_id), hint = 'Staff need a login of their own.';
    end if;
    insert into public.staff as s (user_id, full_name, email, role)
    values (create_staff.user_id, create_staff.full_name, create_staff.email, create_staff.role)
    returning s.* into made;
    return made;
end;
$$;
comment on function private.create_staff(uuid, text, text, text) is 'Checked work of public.create_staff.';

create function private.update_staff(user_id uuid, changes jsonb, expected_version bigint)
returns public.staff
language plpgsql
security definer
set search_path = ''
as $$
declare
    found_row public.staff;
    wanted public.staff;
begin
    perform private.require_admin('change staff');
    perform private.check_keys('changes', changes, array['full_name', 'email', 'role', 'active']);
    -- The same order as the guard's: queue, then lock the row.
    perform pg_advisory_xact_lock(hashtextextended('public.staff', 0));
    -- Asked again after the wait: the caller may have been demoted meanwhile.
    perform private.require_admin('change staff');
    select s.* into found_row from public.staff as s where s.user_id = update_staff.user_id for update;
    if found_row.user_id is null then
        perform private.raise_no_row('staff', update_staff.user_id);
    elsif expected_version is not null and found_row.version <> expected_version then
        raise exception 'the row has changed since version %', expected_version
            using errcode = 'PT409', detail = format('current version: %s', found_row.version), hint = 'Read it again and decide.';
    end if;
    wanted := jsonb_populate_record(found_row, changes);
    update public.staff as s set full_name = wanted.full_name, email = wanted.email, role = wanted.role, active = wanted.active
    where s.user_id = update_staff.user_id returning s.* into found_row;
    return found_row;
end;
$$;
comment on function private.update_staff(uuid, jsonb, bigint) is 'Checked work of public.update_staff.';
revoke execute on function private.require_admin(text), private.create_staff(uuid, text, text, text),
    private.update_staff(uuid, jsonb, bigint) from public;
grant execute on function private.create_staff(uuid, text, text, text), private.update_staff(uuid, jsonb, bigint) to authenticated, service_role;

create function public.create_staff(user_id uuid, full_name text, email text, role text default 'agent')
returns public.staff
language sql
set search_path = ''
as $$
    select private.create_staff(user_id, full_name, email, role);
$$;
comment on function public.create_staff(uuid, text, text, text) is 'Admins: make an existing user a member of staff.';

create function public.update_staff(user_id uuid, changes jsonb, expected_version bigint default null)
returns public.staff
language sql
set search_path = ''
as $$
    select private.update_staff(user_id, changes, expected_version);
$$;
comment on function public.update_staff(uuid, jsonb, bigint) is 'Admins: change name, e-mail, role or activity of a member of staff. Nobody changes their own role; an admin always remains.';
revoke execute on function public.create_staff(uuid, text, text, text), public.update_staff(uuid, jsonb, bigint) from public, anon;
grant execute on function public.create_staff(uuid, text, text, text), public.update_staff(uuid, jsonb, bigint) to authenticated, service_role;
