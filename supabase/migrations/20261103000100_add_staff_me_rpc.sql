-- Purpose: one cheap question for services: who is calling, and may they use the staff door.
-- Tables:  reads public.staff and public.customers.
-- Locks:   none.
-- Undo:    drop function public.staff_me, private.staff_me;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.staff_me()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    me uuid := private.current_uid();
    found_row public.staff;
begin
    select s.* into found_row from public.staff as s where s.user_id = me;
    if found then
        return jsonb_build_object(
            'user_id', me, 'standing', case when found_row.active then 'active' else 'inactive' end,
            'role', found_row.role, 'full_name', found_row.full_name, 'email', found_row.email
        );
    end if;
    return jsonb_build_object(
        'user_id', me,
        'standing', case when exists (select from public.customers as c where c.portal_user_id = me) then 'customer' else 'stranger' end,
        'role', null, 'full_name', null, 'email', null
    );
end;
$$;
comment on function private.staff_me() is 'Checked work of public.staff_me.';
revoke execute on function private.staff_me() from public;
grant execute on function private.staff_me() to authenticated, service_role;

create function public.staff_me()
returns jsonb
language sql
stable
set search_path = ''
as $$
    select private.staff_me();
$$;
comment on function public.staff_me() is 'Who is calling: user_id, standing (active, inactive, customer or stranger), and role, full_name, email of staff.';
revoke execute on function public.staff_me() from public, anon;
grant execute on function public.staff_me() to authenticated, service_role;
