-- Purpose: who may do what on staff, customers: grants and policies, as in rls_policies/.
-- Tables:  public.staff, public.customers.
-- Locks:   access exclusive on them, for an instant; they are empty.
-- Undo:    drop the policies named below and revoke all on the tables from authenticated and service_role.
set lock_timeout = '2s';
set statement_timeout = '60s';

-- staff: Staff read; rows are written by the owner and the secret key.
grant select on public.staff to authenticated;
grant select, insert, update on public.staff to service_role;

create policy "staff read staff" on public.staff
for select to authenticated
using (
    (select private.is_staff())
);

-- customers: Staff read and write every customer; a customer reads and edits the own row (columns: trigger a_guard_customer).
grant select on public.customers to authenticated;
grant insert (id, name, email, phone, address, branch, preferences, created_at, updated_at, version) on public.customers to authenticated;
grant update (name, email, phone, address, branch, preferences, created_at, updated_at, version) on public.customers to authenticated;
grant select, insert, update on public.customers to service_role;

create policy "staff read every customer, a customer the own row" on public.customers
for select to authenticated
using (
    (select private.is_staff()) or id = (select private.my_customer_id())
);

create policy "staff add customers" on public.customers
for insert to authenticated
with check (
    (select private.is_staff())
);

create policy "staff edit every customer, a customer the own row" on public.customers
for update to authenticated
using (
    (select private.is_staff()) or id = (select private.my_customer_id())
)
with check (
    (select private.is_staff()) or id = (select private.my_customer_id())
);
