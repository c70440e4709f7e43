-- Purpose: who may do what on invoices, invoice_items: grants and policies, as in rls_policies/.
-- Tables:  public.invoices, public.invoice_items.
-- Locks:   access exclusive on them, for an instant; they are empty.
-- Undo:    drop the policies named below and revoke all on the tables from authenticated and service_role.
set lock_timeout = '2s';
set statement_timeout = '60s';

-- invoices: Staff read and write every invoice within the state machine; a customer reads the own ones except drafts.
grant select on public.invoices to authenticated;
grant insert (id, customer_id, job_id, series, status, currency, due_on, notes, created_at, updated_at, version) on public.invoices to authenticated;
grant update (customer_id, job_id, series, status, currency, due_on, notes, created_at, updated_at, version) on public.invoices to authenticated;
grant select, insert, update on public.invoices to service_role;

create policy "staff read every invoice, a customer the own ones but no drafts" on public.invoices
for select to authenticated
using (
    (select private.is_staff()) or (customer_id = (select private.my_customer_id()) and deleted_at is null and status <> 'draft')
);

create policy "staff add invoices" on public.invoices
for insert to authenticated
with check (
    (select private.is_staff())
);

create policy "staff edit invoices" on public.invoices
for update to authenticated
using (
    (select private.is_staff())
)
with check (
    (select private.is_staff())
);

-- invoice_items: Staff only, while the invoice is a draft; a customer reads invoices.lines.
grant select on public.invoice_items to authenticated;
grant insert (id, invoice_id, customer_id, position, description, quantity, unit_price_cents, created_at, updated_at, version) on public.invoice_items to authenticated;
grant update (position, description, quantity, unit_price_cents, created_at, updated_at, version) on public.invoice_items to authenticated;
grant select, insert, update on public.invoice_items to service_role;

create policy "staff read invoice items" on public.invoice_items
for select to authenticated
using (
    (select private.is_staff())
);

create policy "staff add invoice items" on public.invoice_items
for insert to authenticated
with check (
    (select private.is_staff())
);

create policy "staff edit invoice items" on public.invoice_items
for update to authenticated
using (
    (select private.is_staff())
)
with check (
    (select private.is_staff())
);
