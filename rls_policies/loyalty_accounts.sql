-- Staff read every account, a customer the own one. Written by the ledger's trigger only.
alter table public.loyalty_accounts enable row level security;
revoke all on public.loyalty_accounts from public, anon, authenticated, service_role;

grant select on public.loyalty_accounts to authenticated;
grant select on public.loyalty_accounts to service_role;

drop policy if exists "staff read every account, a customer the own one" on public.loyalty_accounts;
create policy "staff read every account, a customer the own one" on public.loyalty_accounts
for select to authenticated
using (
    customer_id = (select private.my_customer_id()) or (select private.is_staff())
);
