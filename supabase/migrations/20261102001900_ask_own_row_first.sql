-- Purpose: a row of one's own is recognised before anybody asks whether the caller is staff: PostgreSQL evaluates the second
--          helper only when the first did not decide, so a portal's read pays for one look-up instead of two.
-- Tables:  policies of customers, jobs, invoices, messages, loyalty_accounts, loyalty_transactions, sync_scopes, sync_changes.
-- Locks:   access exclusive on each of them, for an instant.
-- Undo:    alter the policies back to `(select private.is_staff()) or …`.
set lock_timeout = '2s';
set statement_timeout = '60s';

alter policy "staff read every customer, a customer the own row" on public.customers
using (
    id = (select private.my_customer_id()) or (select private.is_staff())
);

alter policy "staff read every job, a customer the own ones" on public.jobs
using (
    (customer_id = (select private.my_customer_id()) and deleted_at is null) or (select private.is_staff())
);

alter policy "staff read every invoice, a customer the own ones but no drafts" on public.invoices
using (
    (customer_id = (select private.my_customer_id()) and deleted_at is null and status <> 'draft') or (select private.is_staff())
);

alter policy "staff read every message, a customer the own thread" on public.messages
using (
    (customer_id = (select private.my_customer_id()) and deleted_at is null) or (select private.is_staff())
);

alter policy "staff read every account, a customer the own one" on public.loyalty_accounts
using (
    customer_id = (select private.my_customer_id()) or (select private.is_staff())
);

alter policy "staff read every entry, a customer the own ones" on public.loyalty_transactions
using (
    customer_id = (select private.my_customer_id()) or (select private.is_staff())
);

alter policy "staff read every scope, a customer the own one" on public.sync_scopes
using (
    scope = (select private.my_scope()) or (select private.is_staff())
);

alter policy "staff read every change, a customer the own scope" on public.sync_changes
using (
    scope = (select private.my_scope()) or (select private.is_staff())
);
