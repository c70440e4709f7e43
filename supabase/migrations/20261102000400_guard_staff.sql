-- Purpose: rules about staff rows that hold for every writer: nobody changes the own role, and an admin always remains.
-- Tables:  triggers on public.staff.
-- Locks:   share row exclusive on it for an instant. At run time writers of staff queue on an advisory lock until commit.
-- Undo:    drop trigger a_queue, a_not_oneself, zz_keep_admin_update, zz_keep_admin_delete, a_no_truncate on public.staff;
--          drop function private.queue_staff_writers, private.guard_own_role, private.keep_an_admin, private.refuse_truncate;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.queue_staff_writers()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    -- Before any row is locked: two admins who demote each other at the same moment queue here instead of deadlocking.
    perform pg_advisory_xact_lock(hashtextextended('public.staff', 0));
    return null;
end;
$$;
comment on function private.queue_staff_writers() is 'BEFORE UPDATE OR DELETE, once per statement: one writer of staff at a time.';
revoke execute on function private.queue_staff_writers() from public;

create function private.guard_own_role()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if old.user_id = private.current_uid() and current_setting('role', true) = 'authenticated'
        and (new.role, new.active) is distinct from (old.role, old.active) then
        raise exception 'nobody changes their own role'
            using errcode = 'insufficient_privilege', detail = format('staff: %s', old.user_id), hint = 'Ask another admin.';
    elsif new.user_id is distinct from old.user_id then
        raise exception 'staff.user_id cannot be changed'
            using errcode = 'insufficient_privilege', hint = 'Deactivate this row and create another.';
    end if;
    return new;
end;
$$;
comment on function private.guard_own_role() is 'BEFORE UPDATE: refuses a change of the caller''s own role or activity, and of user_id.';
revoke execute on function private.guard_own_role() from public;

create function private.keep_an_admin()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if exists (select from old_rows as o where o.role = 'admin' and o.active) then
        -- Locking also finds, in REPEATABLE READ, an admin who was demoted after this transaction's snapshot: 40001.
        perform from public.staff as s where s.role = 'admin' and s.active for key share;
        if not found then
            raise exception 'the last admin cannot be demoted, deactivated or removed'
                using errcode = 'check_violation', hint = 'Make somebody else an admin first.';
        end if;
    end if;
    return null;
end;
$$;
comment on function private.keep_an_admin() is 'AFTER UPDATE OR DELETE: refuses when no active admin would remain.';
revoke execute on function private.keep_an_admin() from public;

create function private.refuse_truncate()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception '% cannot be truncated', tg_table_name
        using errcode = 'insufficient_privilege', hint = tg_argv[0];
end;
$$;
comment on function private.refuse_truncate() is 'BEFORE TRUNCATE, argument: the hint. Refuses, for the owner too.';
revoke execute on function private.refuse_truncate() from public;

create trigger a_queue before update or delete on public.staff
for each statement execute function private.queue_staff_writers();
create trigger a_not_oneself before update on public.staff
for each row execute function private.guard_own_role();
create trigger zz_keep_admin_update after update on public.staff referencing old table as old_rows
for each statement execute function private.keep_an_admin();
create trigger zz_keep_admin_delete after delete on public.staff referencing old table as old_rows
for each statement execute function private.keep_an_admin();
create trigger a_no_truncate before truncate on public.staff
for each statement execute function private.refuse_truncate('Deactivate staff instead.');
