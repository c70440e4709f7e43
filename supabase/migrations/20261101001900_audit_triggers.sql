-- Purpose: attach the audit trigger. invoice_items is left out: its changes are the changes of invoices.lines.
-- Tables:  triggers on staff, customers, leads, lead_notes, calls, jobs, job_notes, invoices, messages, loyalty_transactions.
-- Locks:   share row exclusive on each of them for an instant.
-- Undo:    drop trigger audit_insert, audit_update, audit_delete on each table.
set lock_timeout = '2s';
set statement_timeout = '60s';

create trigger audit_insert after insert on public.staff referencing new table as new_rows
for each statement execute function private.audit_changes('user_id', '');
create trigger audit_update after update on public.staff referencing old table as old_rows new table as new_rows
for each statement execute function private.audit_changes('user_id', '');
create trigger audit_delete after delete on public.staff referencing old table as old_rows
for each statement execute function private.audit_changes('user_id', '');

create trigger audit_insert after insert on public.customers referencing new table as new_rows
for each statement execute function private.audit_changes('id', 'id');
create trigger audit_update after update on public.customers referencing old table as old_rows new table as new_rows
for each statement execute function private.audit_changes('id', 'id');
create trigger audit_delete after delete on public.customers referencing old table as old_rows
for each statement execute function private.audit_changes('id', 'id');

create trigger audit_insert after insert on public.leads referencing new table as new_rows
for each statement execute function private.audit_changes('customer_id', 'customer_id');
create trigger audit_update after update on public.leads referencing old table as old_rows new table as new_rows
for each statement execute function private.audit_changes('customer_id', 'customer_id');
create trigger audit_delete after delete on public.leads referencing old table as old_rows
for each statement execute function private.audit_changes('customer_id', 'customer_id');

create trigger audit_insert after insert on public.lead_notes referencing new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_update after update on public.lead_notes referencing old table as old_rows new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_delete after delete on public.lead_notes referencing old table as old_rows
for each statement execute function private.audit_changes('id', 'customer_id');

create trigger audit_insert after insert on public.calls referencing new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_update after update on public.calls referencing old table as old_rows new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_delete after delete on public.calls referencing old table as old_rows
for each statement execute function private.audit_changes('id', 'customer_id');

create trigger audit_insert after insert on public.jobs referencing new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_update after update on public.jobs referencing old table as old_rows new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_delete after delete on public.jobs referencing old table as old_rows
for each statement execute function private.audit_changes('id', 'customer_id');

create trigger audit_insert after insert on public.job_notes referencing new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_update after update on public.job_notes referencing old table as old_rows new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_delete after delete on public.job_notes referencing old table as old_rows
for each statement execute function private.audit_changes('id', 'customer_id');

create trigger audit_insert after insert on public.invoices referencing new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_update after update on public.invoices referencing old table as old_rows new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_delete after delete on public.invoices referencing old table as old_rows
for each statement execute function private.audit_changes('id', 'customer_id');

create trigger audit_insert after insert on public.messages referencing new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_update after update on public.messages referencing old table as old_rows new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_delete after delete on public.messages referencing old table as old_rows
for each statement execute function private.audit_changes('id', 'customer_id');

create trigger audit_insert after insert on public.loyalty_transactions referencing new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_update after update on public.loyalty_transactions referencing old table as old_rows new table as new_rows
for each statement execute function private.audit_changes('id', 'customer_id');
create trigger audit_delete after delete on public.loyalty_transactions referencing old table as old_rows
for each statement execute function private.audit_changes('id', 'customer_id');
