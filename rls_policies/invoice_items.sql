-- Staff only, while the invoice is a draft; a customer reads invoices.lines.
alter table public.invoice_items enable row level security;
revoke all on public.invoice_items from public, anon, authenticated, service_role;

grant select on public.invoice_items to authenticated;
grant insert (id, invoice_id, customer_id, position, description, quantity, unit_price_cents, created_at, updated_at, version) on public.invoice_items to authenticated;
grant update (position, description, quantity, unit_price_cents, created_at, updated_at, version) on public.invoice_items to authenticated;
grant select, insert, update on public.invoice_items to service_role;

drop policy if exists "staff read invoice items" on public.invoice_items;
create policy "staff read invoice items" on public.invoice_items
for select to authenticated
using (
    (select private.is_staff())
);

drop policy if exists "staff add invoice items" on public.invoice_items;
create policy "staff add invoice items" on public.invoice_items
for insert to authenticated
with check (
    (select private.is_staff())
);

drop policy if exists "staff edit invoice items" on public.invoice_items;
create policy "staff edit invoice items" on public.invoice_items
for update to authenticated
using (
    (select private.is_staff())
)
with check (
    (select private.is_staff())
);
