-- Purpose: nothing new is written for a deleted customer, where nobody would find it: no lead, note about one, call, job, invoice, message or ledger
--          entry, by whichever way, and no row is moved there. What stands there may still be changed: a job closed, an invoice paid or void.
-- Tables:  triggers on public.customers, leads, lead_notes, calls, jobs, invoices, messages and loyalty_transactions. Rows that are there stay.
-- Locks:   share row exclusive on each of them for an instant. At run time a new row shares its customer's row, as its foreign key does anyway;
--          deleting a customer waits for the transactions that share it, whoever deletes (private.soft_delete did so before).
-- Undo:    drop trigger b_hold_closing on public.customers; drop a_open_customer and a_open_new_customer on the other tables.
set lock_timeout = '2s';
set statement_timeout = '60s';

create trigger b_hold_closing before update of deleted_at on public.customers
for each row when (old.deleted_at is null and new.deleted_at is not null) execute function private.hold_closing_customer();
comment on trigger b_hold_closing on public.customers is 'Deleting a customer waits for transactions that write new rows for them.';

create trigger a_open_customer after insert on public.leads referencing new table as new_rows
for each statement execute function private.check_open_customers();
create trigger a_open_customer after insert on public.calls referencing new table as new_rows
for each statement execute function private.check_open_customers();
create trigger a_open_customer after insert on public.jobs referencing new table as new_rows
for each statement execute function private.check_open_customers();
create trigger a_open_customer after insert on public.invoices referencing new table as new_rows
for each statement execute function private.check_open_customers();
create trigger a_open_customer after insert on public.messages referencing new table as new_rows
for each statement execute function private.check_open_customers();
create trigger a_open_customer after insert on public.loyalty_transactions referencing new table as new_rows
for each statement execute function private.check_open_customers();
create trigger a_open_customer after insert on public.lead_notes
for each row execute function private.check_open_customer();

create trigger a_open_new_customer after update of customer_id on public.leads
for each row when (new.customer_id <> old.customer_id) execute function private.check_open_customer();
create trigger a_open_new_customer after update of customer_id on public.lead_notes
for each row when (new.customer_id <> old.customer_id) execute function private.check_open_customer();
create trigger a_open_new_customer after update of customer_id on public.calls
for each row when (new.customer_id <> old.customer_id) execute function private.check_open_customer();
create trigger a_open_new_customer after update of customer_id on public.jobs
for each row when (new.customer_id <> old.customer_id) execute function private.check_open_customer();
create trigger a_open_new_customer after update of customer_id on public.invoices
for each row when (new.customer_id <> old.customer_id) execute function private.check_open_customer();
create trigger a_open_new_customer after update of customer_id on public.messages
for each row when (new.customer_id <> old.customer_id) execute function private.check_open_customer();

do $$
declare
    guarded text;
begin
    foreach guarded in array array['leads', 'lead_notes', 'calls', 'jobs', 'invoices', 'messages', 'loyalty_transactions'] loop
        execute format('comment on trigger a_open_customer on public.%I is %L', guarded, 'Nothing new for a deleted customer.');
        if guarded <> 'loyalty_transactions' then
            execute format('comment on trigger a_open_new_customer on public.%I is %L', guarded, 'Nothing is moved to a deleted customer.');
        end if;
    end loop;
end;
$$;
