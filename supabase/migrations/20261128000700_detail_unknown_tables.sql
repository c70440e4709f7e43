-- Purpose: refusals that had a hint alone get their detail.
-- Tables:  none.
-- Locks:   none.
-- Undo:    restore the bodies of 20261101001400, 20261101002600, 20261101002700, 20261102000600
--          and 20261102000800.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.soft_delete(table_name text, row_id uuid)
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
            using errcode = 'invalid_parameter_value', detail = format('table_name: %s', left(coalesce(table_name, 'null'), 63)), hint = 'customers, jobs, messages or invoices (drafts).';
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
            using errcode = 'invalid_parameter_value', detail = format('table_name: %s', left(coalesce(table_name, 'null'), 63)), hint = 'jobs or invoices.';
    end if;
    if new_version is null then
        perform private.raise_no_row(table_name, row_id);
    end if;
    return new_version;
end;
$$;

create or replace function private.undelete(table_name text, row_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform private.require_staff('restore rows');
    if table_name <> all (array['customers', 'jobs', 'messages', 'invoices']) then
        raise exception 'rows of % are not deleted', table_name
            using errcode = 'invalid_parameter_value', detail = format('table_name: %s', table_name), hint = 'Leave deleted_at alone.';
    end if;
    execute format('update public.%I as t set deleted_at = null where t.id = $1 and t.deleted_at is not null', table_name) using row_id;
end;
$$;
