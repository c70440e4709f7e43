-- Purpose: the helpers that policies ask. Table look-ups, not token claims, are the authority.
-- Tables:  reads public.staff and public.customers.
-- Locks:   none.
-- Undo:    drop function private.staff_role, private.is_staff, private.is_manager, private.is_admin, private.my_customer_id,
--          private.my_scope, private.actor_kind;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.staff_role()
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return (select s.role from public.staff as s where s.user_id = private.current_uid() and s.active);
end;
$$;
comment on function private.staff_role() is 'admin, manager or agent of the signed-in user; null for everybody who is not active staff.';

create function private.is_staff()
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return private.staff_role() is not null;
end;
$$;
comment on function private.is_staff() is 'True for active staff.';

create function private.is_manager()
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return coalesce(private.staff_role() in ('manager', 'admin'), false);
end;
$$;
comment on function private.is_manager() is 'True for active managers and admins.';

create function private.is_admin()
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return coalesce(private.staff_role() = 'admin', false);
end;
$$;
comment on function private.is_admin() is 'True for active admins.';

create function private.my_customer_id()
returns uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return (
        select c.id
        from public.customers as c
        where c.portal_user_id = private.current_uid() and c.deleted_at is null
    );
end;
$$;
comment on function private.my_customer_id() is 'The customer whose portal login is the signed-in user; null when there is none or the account is closed.';

create function private.my_scope()
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return 'customer:' || private.my_customer_id()::text;
end;
$$;
comment on function private.my_scope() is 'The feed scope and Realtime topic of the signed-in customer, or null.';

create function private.actor_kind()
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return case
        when current_setting('role', true) = 'service_role' then 'service'
        when private.is_staff() then 'staff'
        when private.current_uid() is not null then 'customer'
        else 'system'
    end;
end;
$$;
comment on function private.actor_kind() is 'Who acts, for the activity log: staff, customer, service (secret key) or system (no API caller).';

revoke execute on function private.staff_role(), private.is_staff(), private.is_manager(), private.is_admin(),
    private.my_customer_id(), private.my_scope(), private.actor_kind() from public;
grant execute on function private.staff_role(), private.is_staff(), private.is_manager(), private.is_admin(),
    private.my_customer_id(), private.my_scope(), private.actor_kind() to authenticated, service_role;
