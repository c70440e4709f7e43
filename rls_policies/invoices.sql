-- Staff read and write every invoice within the state machine; a customer reads the own ones except drafts.
alter table public.invoices enable row level security;
revoke all on public.invoices from public, anon, authenticated, service_role;

grant select on public.invoices to authenticated;
grant insert (id, customer_id, job_id, series, status, currency, due_on, notes, created_at, updated_at, version) on public.invoices to authenticated;
grant update (customer_id, job_id, series, status, currency, due_on, notes, created_at, updated_at, version) on public.invoices to authenticated;
grant select, insert, update on public.invoices to service_role;

drop policy if exists "staff read every invoice, a customer the own ones but no drafts" on public.invoices;
create policy "staff read every invoice, a customer the own ones but no drafts" on public.invoices
for select to authenticated
using (
    (customer_id = (select private.my_customer_id()) and deleted_at is null and status <> 'draft') or (select private.is_staff())
);

drop policy if exists "staff add invoices" on public.invoices;
create policy "staff add invoices" on public.invoices
for insert to authenticated
with check (
    (select private.is_staff())
);

drop policy if exists "staff edit invoices" on public.invoices;
create policy "staff edit invoices" on public.invoices
for update to authenticated
using (
    (select private.is_staff())
)
with check (
    (select private.is_staff())
);
