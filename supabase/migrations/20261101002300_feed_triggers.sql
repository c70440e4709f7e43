-- Purpose: attach the change feed to the five portal tables.
-- Tables:  triggers on customers, jobs, invoices, messages, loyalty_transactions.
-- Locks:   share row exclusive on each of them for an instant.
-- Undo:    drop trigger feed_insert, feed_update, feed_delete on each table.
set lock_timeout = '2s';
set statement_timeout = '60s';

create trigger feed_insert after insert on public.customers referencing new table as new_rows
for each statement execute function private.capture_changes();
create trigger feed_update after update on public.customers referencing old table as old_rows new table as new_rows
for each statement execute function private.capture_changes();
create trigger feed_delete after delete on public.customers referencing old table as old_rows
for each statement execute function private.capture_changes();

create trigger feed_insert after insert on public.jobs referencing new table as new_rows
for each statement execute function private.capture_changes();
create trigger feed_update after update on public.jobs referencing old table as old_rows new table as new_rows
for each statement execute function private.capture_changes();
create trigger feed_delete after delete on public.jobs referencing old table as old_rows
for each statement execute function private.capture_changes();

create trigger feed_insert after insert on public.invoices referencing new table as new_rows
for each statement execute function private.capture_changes();
create trigger feed_update after update on public.invoices referencing old table as old_rows new table as new_rows
for each statement execute function private.capture_changes();
create trigger feed_delete after delete on public.invoices referencing old table as old_rows
for each statement execute function private.capture_changes();

create trigger feed_insert after insert on public.messages referencing new table as new_rows
for each statement execute function private.capture_changes();
create trigger feed_update after update on public.messages referencing old table as old_rows new table as new_rows
for each statement execute function private.capture_changes();
create trigger feed_delete after delete on public.messages referencing old table as old_rows
for each statement execute function private.capture_changes();

create trigger feed_insert after insert on public.loyalty_transactions referencing new table as new_rows
for each statement execute function private.capture_changes();
create trigger feed_update after update on public.loyalty_transactions referencing old table as old_rows new table as new_rows
for each statement execute function private.capture_changes();
create trigger feed_delete after delete on public.loyalty_transactions referencing old table as old_rows
for each statement execute function private.capture_changes();
