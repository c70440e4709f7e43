-- Purpose: who may do what on loyalty_accounts, loyalty_transactions: grants and policies, as in rls_policies/.
-- Tables:  public.loyalty_accounts, public.loyalty_transactions.
-- Locks:   access exclusive on them, for an instant; they are empty.
-- Undo:    drop the policies named below and revoke all on the tables from authenticated and service_role.
set lock_timeout = '2s';
set statement_timeout = '60s';

-- loyalty_accounts: Staff read every account, a customer the own one. Written by the ledger's trigger only.
grant select on public.loyalty_accounts to authenticated;
grant select on public.loyalty_accounts to service_role;

create policy "staff read every account, a customer the own one" on public.loyalty_accounts
for select to authenticated
using (
    (select private.is_staff()) or customer_id = (select private.my_customer_id())
);

-- loyalty_transactions: Staff read every entry, a customer the own ones. Staff append; adjust is for managers and admins; a customer redeems by RPC.
grant select on public.loyalty_transactions to authenticated;
grant insert (id, customer_id, points, kind, reason, created_at, updated_at, version) on public.loyalty_transactions to authenticated;
grant select on public.loyalty_transactions to service_role;
grant insert (id, customer_id, points, kind, reason, created_at, updated_at, version) on public.loyalty_transactions to service_role;

create policy "staff read every entry, a customer the own ones" on public.loyalty_transactions
for select to authenticated
using (
    (select private.is_staff()) or customer_id = (select private.my_customer_id())
);

create policy "staff append entries, managers also adjust" on public.loyalty_transactions
for insert to authenticated
with check (
    (select private.is_manager()) or ((select private.is_staff()) and kind in ('award', 'bonus', 'redeem'))
);
