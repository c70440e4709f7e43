-- Staff read and write every customer; a customer reads and edits the own row (columns: trigger a_guard_customer).
alter table public.customers enable row level security;
revoke all on public.customers from public, anon, authenticated, service_role;

grant select on public.customers to authenticated;
grant insert (id, name, email, phone, address, branch, preferences, created_at, updated_at, version) on public.customers to authenticated;
grant update (name, email, phone, address, branch, preferences, created_at, updated_at, version) on public.customers to authenticated;
grant select, insert, update on public.customers to service_role;

drop policy if exists "staff read every customer, a customer the own row" on public.customers;
create policy "staff read every customer, a customer the own row" on public.customers
for select to authenticated
using (
    id = (select private.my_customer_id()) or (select private.is_staff())
);

drop policy if exists "staff add customers" on public.customers;
create policy "staff add customers" on public.customers
for insert to authenticated
with check (
    (select private.is_staff())
);

drop policy if exists "staff edit every customer, a customer the own row" on public.customers;
create policy "staff edit every customer, a customer the own row" on public.customers
for update to authenticated
using (
    (select private.is_staff()) or id = (select private.my_customer_id())
)
with check (
    (select private.is_staff()) or id = (select private.my_customer_id())
);
