-- Purpose: the words and checks for: nothing new is written for a deleted customer, where nobody would find it. Moving a row there is refused by
--          name instead of as a customer who does not exist. The next migration attaches the checks.
-- Tables:  public.customers, jobs, invoices, job_notes and invoice_items at run time.
-- Locks:   none.
-- Undo:    restore private.move_to_customer of 20261213000300; drop function private.check_open_customers, private.check_open_customer,
--          private.hold_closing_customer, private.raise_deleted_customer.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.raise_deleted_customer(table_name text, customer_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
    raise exception 'the customer is deleted'
        using errcode = 'foreign_key_violation', schema = 'public', table = table_name, column = 'customer_id',
            constraint = table_name || '_open_customer', detail = format('customer_id: %s', customer_id),
            hint = 'Restore the customer first, or choose another.';
end;
$$;
comment on function private.raise_deleted_customer(text, uuid) is 'Raises 23503 for a new row of a deleted customer.';

create function private.check_open_customers()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    closed uuid;
begin
    -- The foreign key has shared the customers' rows by now, until the commit: nobody deletes them in between. After the policies, too, so
    -- that a stranger is told nothing about a customer.
    -- "limit 1" would cost more than it saves: nothing is read after the first row anyway.
    select n.customer_id into closed from new_rows as n
    where (select c.deleted_at from public.customers as c where c.id = n.customer_id) is not null;
    if closed is not null then
        perform private.raise_deleted_customer(tg_table_name, closed);
    end if;
    return null;
end;
$$;
comment on function private.check_open_customers() is 'AFTER INSERT: no row is for a deleted customer. One look per row, in bulk a fifth of what a trigger per row costs.';

create function private.check_open_customer()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    closed timestamptz;
begin
    -- Shared, for the foreign key of a note is that of its lead.
    select c.deleted_at into closed from public.customers as c where c.id = new.customer_id for key share;
    if closed is not null then
        perform private.raise_deleted_customer(tg_table_name, new.customer_id);
    end if;
    return null;
end;
$$;
comment on function private.check_open_customer() is 'AFTER INSERT OR UPDATE: the row is not for a deleted customer.';

create function private.hold_closing_customer()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    -- An update alone does not wait for those who share the row by a key. In REPEATABLE READ, this lock is also what makes a
    -- transaction that does not see the deletion fail with 40001 as soon as it shares the row.
    perform from public.customers as c where c.id = new.id for update;
    return new;
end;
$$;
comment on function private.hold_closing_customer() is 'BEFORE UPDATE: deleting a customer waits for transactions that write new rows for them.';

revoke execute on function private.raise_deleted_customer(text, uuid), private.check_open_customers(), private.check_open_customer(),
    private.hold_closing_customer() from public;

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
