-- Staff only, and nobody reads or writes the value here: RPCs do, and note who read it.
alter table public.customer_secrets enable row level security;
revoke all on public.customer_secrets from public, anon, authenticated, service_role;

grant select (customer_id, name, key_id, created_at, updated_at, version) on public.customer_secrets to authenticated;
grant select (customer_id, name, key_id, created_at, updated_at, version) on public.customer_secrets to service_role;

drop policy if exists "staff see which secrets there are" on public.customer_secrets;
create policy "staff see which secrets there are" on public.customer_secrets
for select to authenticated
using (
    (select private.is_staff())
);
