-- Purpose: a call that writes leaves deleted rows as they are, and says so by one name: here, moving a job or an invoice and giving a draft other
--          items. Restoring is the way to go on with them. Moving one to a deleted customer is refused by name, not as to one who does not exist.
-- Tables:  public.jobs, invoices at run time.
-- Locks:   none.
-- Undo:    restore private.move_to_customer of 20261213000300, private.expect_version of 20261218000300, private.clear_draft of 20261101002800;
--          drop function private.is_open, private.raise_not_open, private.raise_deleted_row.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.raise_deleted_row(table_name text, row_id uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
    raise exception 'the row is deleted'
        using errcode = 'PT409', detail = format('%s: %s', table_name, row_id), hint = 'To go on with it, put it back first with restore_row.';
end;
$$;
comment on function private.raise_deleted_row(text, uuid) is 'Raises PT409 for a change of a deleted row.';

create function private.raise_not_open(table_name text, row_id uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
    if private.current_row(table_name, row_id) is null then
        perform private.raise_no_row(table_name, row_id);
    end if;
    perform private.raise_deleted_row(table_name, row_id);
end;
$$;
comment on function private.raise_not_open(text, uuid) is 'Raises PT404 or PT409 for a row that is not there or is deleted.';

create function private.is_open(table_name text, row_id uuid, deleted_at timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    if deleted_at is not null then
        perform private.raise_deleted_row(table_name, row_id);
    end if;
    return true;
end;
$$;
comment on function private.is_open(text, uuid, timestamptz) is 'True, or PT409 for a deleted row; asked of the row as it is locked.';

revoke execute on function private.raise_deleted_row(text, uuid), private.raise_not_open(text, uuid), private.is_open(text, uuid, timestamptz) from public;
grant execute on function private.raise_deleted_row(text, uuid), private.raise_not_open(text, uuid), private.is_open(text, uuid, timestamptz)
    to authenticated, service_role;

create or replace function private.expect_version(table_name text, row_id uuid, expected_version bigint)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    current bigint;
    closed timestamptz;
begin
    if expected_version is null or table_name is null or table_name <> all (array['jobs', 'invoices']) then
        return;
    end if;
    perform private.require_staff('change rows');
    -- Held until the change is made, so that nobody comes in between.
    execute format('select t.version, t.deleted_at from public.%I as t where t.id = $1 for no key update', table_name) into current, closed using row_id;
    if closed is not null then
        perform private.raise_deleted_row(table_name, row_id);
    elsif current <> expected_version then
        raise exception 'the row has changed since version %', expected_version
            using errcode = 'PS003', detail = format('current version: %s', current), hint = 'Read it again and decide.';
    end if;
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
    closed timestamptz;
    new_version bigint;
begin
    perform private.require_staff('move rows');
    if table_name is null or table_name <> all (array['jobs', 'invoices']) then
        raise exception 'move_to_customer does not know the table %', coalesce(table_name, 'null')
            using errcode = 'invalid_parameter_value', detail = format('table_name: %s', left(coalesce(table_name, 'null'), 63)), hint = 'jobs or invoices.';
    end if;
    -- Shared, so that the customer cannot be deleted between this look and the commit.
    select c.deleted_at into closed from public.customers as c where c.id = move_to_customer.customer_id for key share;
    if not found then
        raise exception 'no such customer'
            using errcode = 'foreign_key_violation', detail = format('customers: %s', move_to_customer.customer_id), hint = 'Choose a customer who is there.';
    elsif closed is not null then
        perform private.raise_deleted_customer(table_name, move_to_customer.customer_id);
    end if;
    if table_name = 'jobs' then
        update public.jobs as t set customer_id = move_to_customer.customer_id where t.id = row_id and t.deleted_at is null
        returning t.version into new_version;
    else
        update public.invoices as t
        set customer_id = move_to_customer.customer_id,
            job_id = case when t.customer_id = move_to_customer.customer_id then t.job_id end
        where t.id = row_id and t.deleted_at is null returning t.version into new_version;
    end if;
    if new_version is null then
        perform private.raise_not_open(table_name, row_id);
    elsif table_name = 'jobs' then
        update public.job_notes as t set customer_id = move_to_customer.customer_id
        where t.job_id = row_id and t.customer_id <> move_to_customer.customer_id;
    else
        update public.invoice_items as t set customer_id = move_to_customer.customer_id
        where t.invoice_id = row_id and t.customer_id <> move_to_customer.customer_id;
    end if;
    return new_version;
end;
$$;

create or replace function private.clear_draft(invoice_id uuid)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
    customer uuid;
    closed timestamptz;
begin
    perform private.require_staff('edit invoices');
    select i.customer_id, i.deleted_at into customer, closed from public.invoices as i where i.id = clear_draft.invoice_id for update;
    if not found then
        perform private.raise_no_row('invoices', invoice_id);
    elsif closed is not null then
        perform private.raise_deleted_row('invoices', invoice_id);
    end if;
    delete from public.invoice_items as t where t.invoice_id = clear_draft.invoice_id;
    return customer;
end;
$$;
