-- Purpose: the indexes that the dashboard sums invoices up from hold just those that count: not void, and paid.
-- Tables:  indexes on invoices.
-- Locks:   share on invoices while the indexes are built, access exclusive for an instant to drop the old ones; on a large table build
--          them concurrently beforehand under these names and take their lines out.
-- Undo:    create the two indexes that are dropped here as in 20261201000500; drop the new ones.
set lock_timeout = '2s';
set statement_timeout = '10min';

create index invoices_sent_at_counted_idx on public.invoices (sent_at)
include (total_cents, customer_id, currency, status, deleted_at) where sent_at is not null and status <> 'void';
drop index public.invoices_sent_at_covering_idx;
create index invoices_paid_at_counted_idx on public.invoices (paid_at)
include (total_cents, customer_id, currency, status, deleted_at) where paid_at is not null and status = 'paid';
drop index public.invoices_paid_at_covering_idx;
