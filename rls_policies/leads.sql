-- Agents see, add and edit only leads that are assigned to them; managers and admins all.
alter table public.leads enable row level security;
revoke all on public.leads from public, anon, authenticated, service_role;

grant select, insert, update on public.leads to authenticated;
grant select, insert, update on public.leads to service_role;

drop policy if exists "staff read the leads they may see" on public.leads;
create policy "staff read the leads they may see" on public.leads
for select to authenticated
using (
    (select private.is_manager()) or ((select private.is_staff()) and assigned_to = (select private.current_uid()))
);

drop policy if exists "staff add leads, agents for themselves" on public.leads;
create policy "staff add leads, agents for themselves" on public.leads
for insert to authenticated
with check (
    (select private.is_manager()) or ((select private.is_staff()) and assigned_to = (select private.current_uid()))
);

drop policy if exists "staff edit the leads they may see, agents keep them" on public.leads;
create policy "staff edit the leads they may see, agents keep them" on public.leads
for update to authenticated
using (
    (select private.is_manager()) or ((select private.is_staff()) and assigned_to = (select private.current_uid()))
)
with check (
    (select private.is_manager()) or ((select private.is_staff()) and assigned_to = (select private.current_uid()))
);
