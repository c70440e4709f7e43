-- Purpose: one index per customer column instead of two: it serves the foreign key, the portal's own rows and a customer's list.
-- Tables:  jobs, invoices.
-- Locks:   share on each table while its index is built, access exclusive for an instant to drop the old ones; on a large table
--          build the new one concurrently beforehand under this name and take its line out.
-- Undo:    drop the two indexes; create those dropped below as in 20261101001000 and 20261101001200.
set lock_timeout = '2s';
set statement_timeout = '10min';

create index jobs_customer_created_idx on public.jobs (customer_id, created_at desc, id desc);
drop index public.jobs_customer_id_idx;
drop index public.jobs_customer_id_all_idx;
create index invoices_customer_created_idx on public.invoices (customer_id, created_at desc, id desc);
drop index public.invoices_customer_id_idx;
drop index public.invoices_customer_id_all_idx;
