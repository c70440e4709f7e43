-- Staff read every change, a customer the own scope. Written by the feed only.
alter table public.sync_changes enable row level security;
revoke all on public.sync_changes from public, anon, authenticated, service_role;

grant select on public.sync_changes to authenticated;
grant select on public.sync_changes to service_role;

drop policy if exists "staff read every change, a customer the own scope" on public.sync_changes;
create policy "staff read every change, a customer the own scope" on public.sync_changes
for select to authenticated
using (
    scope = (select private.my_scope()) or (select private.is_staff())
);
