-- Staff read every entry, a customer the own ones. Staff append; adjust is for managers and admins; a customer redeems by RPC.
alter table public.loyalty_transactions enable row level security;
revoke all on public.loyalty_transactions from public, anon, authenticated, service_role;

grant select on public.loyalty_transactions to authenticated;
grant insert (id, customer_id, points, kind, reason, created_at, updated_at, version) on public.loyalty_transactions to authenticated;
grant select on public.loyalty_transactions to service_role;
grant insert (id, customer_id, points, kind, reason, created_at, updated_at, version) on public.loyalty_transactions to service_role;

drop policy if exists "staff read every entry, a customer the own ones" on public.loyalty_transactions;
create policy "staff read every entry, a customer the own ones" on public.loyalty_transactions
for select to authenticated
using (
    customer_id = (select private.my_customer_id()) or (select private.is_staff())
);

drop policy if exists "staff append entries, managers also adjust" on public.loyalty_transactions;
create policy "staff append entries, managers also adjust" on public.loyalty_transactions
for insert to authenticated
with check (
    (select private.is_manager()) or ((select private.is_staff()) and kind in ('award', 'bonus', 'redeem'))
);
