-- Purpose: the words and checks for: nothing new is written for a deleted customer, where nobody would find it. The next migration attaches them.
-- Tables:  public.customers at run time.
-- Locks:   none.
-- Undo:    drop function private.check_open_customers, private.check_open_customer, private.hold_closing_customer, private.raise_deleted_customer.
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
