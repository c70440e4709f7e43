-- Purpose: moving a row to a customer who is not there, and making a member of staff without a login or twice, are refused by name.
--          A row is no longer moved to a deleted customer, where nobody would find it.
-- Tables:  public.jobs, invoices, job_notes, invoice_items, customers and staff at run time.
-- Locks:   none.
-- Undo:    restore the bodies of 20261128000700 and 20261102000500.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.move_to_customer(table_name text, row_id uuid, customer_id uuid)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_variable
declare
    new_version bigint;
begin
    perform private.require_staff('move rows');
    if table_name is null or table_name <> all (array['jobs', 'invoices']) then
        raise exception 'move_to_customer does not know the table %', coalesce(table_name, 'null')
            using errcode = 'invalid_parameter_value', detail = format('table_name: %s', left(coalesce(table_name, 'null'), 63)), hint = 'jobs or invoices.';
    end if;
    -- Shared, so that the customer cannot be deleted between this look and the commit.
    perform from public.customers as c where c.id = move_to_customer.customer_id and c.deleted_at is null for key share;
    if not found then
        raise exception 'no such customer'
            using errcode = 'foreign_key_violation', detail = format('customers: %s', move_to_customer.customer_id), hint = 'Choose a customer who is there.';
    end if;
    if table_name = 'jobs' then
        update public.jobs as t set customer_id = move_to_customer.customer_id where t.id = row_id returning t.version into new_version;
        update public.job_notes as t set customer_id = move_to_customer.customer_id
        where t.job_id = row_id and t.customer_id <> move_to_customer.customer_id;
    else
        update public.invoices as t
        set customer_id = move_to_customer.customer_id,
            job_id = case when t.customer_id = move_to_customer.customer_id then t.job_id end
        where t.id = row_id returning t.version into new_version;
        update public.invoice_items as t set customer_id = move_to_customer.customer_id
        where t.invoice_id = row_id and t.customer_id <> move_to_customer.customer_id;
    end if;
    if new_version is null then
        perform private.raise_no_row(table_name, row_id);
    end if;
    return new_version;
end;
$$;

create or replace function private.create_staff(user_id uuid, full_name text, email text, role text)
returns public.staff
language plpgsql
security definer
set search_path = ''
as $$
declare
    made public.staff;
begin
    perform private.require_admin('add staff');
    if create_staff.user_id is null then
        raise exception 'malformed user_id'
            using errcode = 'invalid_parameter_value', detail = 'user_id: null', hint = 'user_id is the id of a login.';
    elsif exists (select from public.customers as c where c.portal_user_id = create_staff.user_id) then
        raise exception 'this login belongs to a customer'
            using errcode = 'PT409', detail = format('user: %s', create_staff.user_id), hint = 'Staff need a login of their own.';
    end if;
    insert into public.staff as s (user_id, full_name, email, role)
    values (create_staff.user_id, create_staff.full_name, create_staff.email, create_staff.role)
    on conflict on constraint staff_pkey do nothing
    returning s.* into made;
    if not found then
        raise exception 'this login is a member of staff already'
            using errcode = 'unique_violation', detail = format('user: %s', create_staff.user_id), hint = 'Change the member with update_staff.';
    end if;
    return made;
end;
$$;
