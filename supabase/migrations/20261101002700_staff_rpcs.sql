-- Purpose: soft delete and moving a row to another customer. The API exposes an invoker; the work is a checked definer in private.
-- Tables:  customers, jobs, messages, invoices at run time.
-- Locks:   none.
-- Undo:    drop function public.soft_delete, public.move_to_customer, private.soft_delete, private.move_to_customer,
--          private.require_staff, private.raise_no_row;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.require_staff(action text)
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    if current_setting('role', true) = 'authenticated' and not private.is_staff() then
        raise exception 'only staff may %', action
            using errcode = 'insufficient_privilege', hint = 'Sign in as an active staff member.';
    end if;
end;
$$;
comment on function private.require_staff(text) is 'Raises 42501 for a signed-in user who is not active staff.';
revoke execute on function private.require_staff(text) from public;

create function private.raise_no_row(table_name text, row_id uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
    raise exception 'no such row'
        using errcode = 'PT404', detail = format('%s: %s', table_name, row_id), hint = 'Check the id.';
end;
$$;
comment on function private.raise_no_row(text, uuid) is 'Raises PT404, which the API turns into 404.';
revoke execute on function private.raise_no_row(text, uuid) from public;

create function private.soft_delete(table_name text, row_id uuid)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
    allowed boolean;
    new_version bigint;
begin
    perform private.require_staff('delete rows');
    if table_name is null or table_name <> all (array['customers', 'jobs', 'messages', 'invoices']) then
        raise exception 'soft_delete does not know the table %', coalesce(table_name, 'null')
            using errcode = 'invalid_parameter_value', hint = 'customers, jobs, messages or invoices (drafts).';
    end if;
    execute format(
        'select %s from public.%I as t where t.id = $1 for update',
        case table_name when 'messages' then 't.sender = ''staff''' when 'invoices' then 't.status = ''draft''' else 'true' end,
        table_name
    ) into allowed using row_id;
    if allowed is null then
        perform private.raise_no_row(table_name, row_id);
    elsif not allowed then
        raise exception 'this row of % may not be deleted', table_name
            using errcode = 'check_violation',
                detail = format('%s: %s', table_name, row_id),
                hint = 'Of messages only those from staff, of invoices only drafts; void a sent invoice instead.';
    end if;
    execute format(
        'update public.%I as t set deleted_at = coalesce(t.deleted_at, now()) where t.id = $1 returning t.version', table_name
    ) into new_version using row_id;
    return new_version;
end;
$$;
comment on function private.soft_delete(text, uuid) is 'Checked work of public.soft_delete.';
revoke execute on function private.soft_delete(text, uuid) from public;
grant execute on function private.soft_delete(text, uuid) to authenticated, service_role;

create function private.move_to_customer(table_name text, row_id uuid, customer_id uuid)
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
    if table_name = 'jobs' then
        update public.jobs as t set customer_id = move_to_customer.customer_id where t.id = row_id returning t.version into new_version;
        update public.job_notes as t set customer_id = move_to_customer.customer_id
        where t.job_id = row_id and t.customer_id <> move_to_customer.customer_id;
    elsif table_name = 'invoices' then
        update public.invoices as t
        set customer_id = move_to_customer.customer_id,
            job_id = case when t.customer_id = move_to_customer.customer_id then t.job_id end
        where t.id = row_id returning t.version into new_version;
        update public.invoice_items as t set customer_id = move_to_customer.customer_id
        where t.invoice_id = row_id and t.customer_id <> move_to_customer.customer_id;
    else
        raise exception 'move_to_customer does not know the table %', coalesce(table_name, 'null')
            using errcode = 'invalid_parameter_value', hint = 'jobs or invoices.';
    end if;
    if new_version is null then
        perform private.raise_no_row(table_name, row_id);
    end if;
    return new_version;
end;
$$;
comment on function private.move_to_customer(text, uuid, uuid) is 'Checked work of public.move_to_customer.';
revoke execute on function private.move_to_customer(text, uuid, uuid) from public;
grant execute on function private.move_to_customer(text, uuid, uuid) to authenticated, service_role;

create function public.soft_delete(table_name text, row_id uuid)
returns bigint
language sql
set search_path = ''
as $$
    select private.soft_delete(table_name, row_id);
$$;
comment on function public.soft_delete(text, uuid) is 'Staff: take a customer, job, staff message or draft invoice out of sight. Returns the new version; a second call changes nothing.';
revoke execute on function public.soft_delete(text, uuid) from public, anon;
grant execute on function public.soft_delete(text, uuid) to authenticated, service_role;

create function public.move_to_customer(table_name text, row_id uuid, customer_id uuid)
returns bigint
language sql
set search_path = ''
as $$
    select private.move_to_customer(table_name, row_id, customer_id);
$$;
comment on function public.move_to_customer(text, uuid, uuid) is 'Staff: move a job or an invoice to another customer. Returns the new version.';
revoke execute on function public.move_to_customer(text, uuid, uuid) from public, anon;
grant execute on function public.move_to_customer(text, uuid, uuid) to authenticated, service_role;
