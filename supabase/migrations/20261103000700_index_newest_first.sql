-- Purpose: lists are read newest first, and the dashboard reads ranges of days.
-- Tables:  indexes on customers, leads, calls, jobs, invoices, messages, loyalty_transactions.
-- Locks:   share on each table while its index is built; on large tables build them concurrently beforehand under these names.
-- Undo:    drop the indexes.
set lock_timeout = '2s';
set statement_timeout = '10min';

create index customers_newest_first_idx on public.customers (created_at, id);
create index leads_newest_first_idx on public.leads (created_at, customer_id);
create index calls_newest_first_idx on public.calls (created_at, id);
create index calls_started_at_idx on public.calls (started_at, staff_id, outcome);
create index jobs_newest_first_idx on public.jobs (created_at, id);
create index jobs_scheduled_start_idx on public.jobs (scheduled_start, status);
create index jobs_completed_at_idx on public.jobs (completed_at) where completed_at is not null;
create index invoices_newest_first_idx on public.invoices (created_at, id);
create index invoices_sent_at_idx on public.invoices (sent_at) where sent_at is not null;
create index invoices_paid_at_idx on public.invoices (paid_at) where paid_at is not null;
create index messages_newest_first_idx on public.messages (created_at, id);
create index loyalty_transactions_newest_first_idx on public.loyalty_transactions (created_at, id);
