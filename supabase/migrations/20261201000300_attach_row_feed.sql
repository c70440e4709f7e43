-- Purpose: the portal tables feed through deferred events of their own rows instead of through tickets. Transition tables, the ticket, its
--          index and its deletion are spared. A transaction that wrote to one of these tables and then alters it must say
--          "set constraints all immediate" in between (docs/howto/dba.md).
-- Tables:  triggers on customers, jobs, invoices, messages, loyalty_transactions; private.sync_tickets goes.
-- Locks:   access exclusive on each of them for an instant: it waits for transactions that are writing to portal tables.
-- Undo:    create private.sync_tickets as in 20261101002000 and 20261128000200, its trigger as in 20261101002200, private.flush_changes of
--          20261128000300, private.capture_changes of 20261128000200, and the triggers of 20261101002300.
set lock_timeout = '2s';
set statement_timeout = '60s';

drop trigger feed_insert on public.customers;
drop trigger feed_update on public.customers;
drop trigger feed_delete on public.customers;
create constraint trigger feed_insert after insert on public.customers deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();
create constraint trigger feed_update after update on public.customers deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();
create constraint trigger feed_delete after delete on public.customers deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();

drop trigger feed_insert on public.jobs;
drop trigger feed_update on public.jobs;
drop trigger feed_delete on public.jobs;
create constraint trigger feed_insert after insert on public.jobs deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();
create constraint trigger feed_update after update on public.jobs deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();
create constraint trigger feed_delete after delete on public.jobs deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();

drop trigger feed_insert on public.invoices;
drop trigger feed_update on public.invoices;
drop trigger feed_delete on public.invoices;
create constraint trigger feed_insert after insert on public.invoices deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();
create constraint trigger feed_update after update on public.invoices deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();
create constraint trigger feed_delete after delete on public.invoices deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();

drop trigger feed_insert on public.messages;
drop trigger feed_update on public.messages;
drop trigger feed_delete on public.messages;
create constraint trigger feed_insert after insert on public.messages deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();
create constraint trigger feed_update after update on public.messages deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();
create constraint trigger feed_delete after delete on public.messages deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();

drop trigger feed_insert on public.loyalty_transactions;
drop trigger feed_update on public.loyalty_transactions;
drop trigger feed_delete on public.loyalty_transactions;
create constraint trigger feed_insert after insert on public.loyalty_transactions deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();
create constraint trigger feed_update after update on public.loyalty_transactions deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();
create constraint trigger feed_delete after delete on public.loyalty_transactions deferrable initially deferred
for each row when (private.count_change()) execute function private.flush_row();

drop function private.capture_changes();
-- It holds rows of running transactions alone, and the locks above waited for those.
-- squawk-ignore ban-drop-table
drop table private.sync_tickets;
drop function private.flush_changes();
