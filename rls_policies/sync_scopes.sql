-- Staff read every head, a customer the own one. Written by the feed only.
alter table public.sync_scopes enable row level security;
revoke all on public.sync_scopes from public, anon, authenticated, service_role;

grant select on public.sync_scopes to authenticated;
grant select on public.sync_scopes to service_role;

drop policy if exists "staff read every scope, a customer the own one" on public.sync_scopes;
create policy "staff read every scope, a customer the own one" on public.sync_scopes
for select to authenticated
using (
    scope = (select private.my_scope()) or (select private.is_staff())
);
