-- Staff read all calls; agents add and edit their own, managers and admins all.
alter table public.calls enable row level security;
revoke all on public.calls from public, anon, authenticated, service_role;

grant select on public.calls to authenticated;
grant insert on public.calls to authenticated;
grant update (direction, started_at, ended_at, outcome, notes, next_action, staff_id, created_at, updated_at, version) on public.calls to authenticated;
grant select, insert, update on public.calls to service_role;

drop policy if exists "staff read calls" on public.calls;
create policy "staff read calls" on public.calls
for select to authenticated
using (
    (select private.is_staff())
);

drop policy if exists "agents log their own calls, managers all" on public.calls;
create policy "agents log their own calls, managers all" on public.calls
for insert to authenticated
with check (
    (select private.is_manager()) or ((select private.is_staff()) and staff_id = (select private.current_uid()))
);

drop policy if exists "agents edit their own calls, managers all" on public.calls;
create policy "agents edit their own calls, managers all" on public.calls
for update to authenticated
using (
    (select private.is_manager()) or ((select private.is_staff()) and staff_id = (select private.current_uid()))
)
with check (
    (select private.is_manager()) or ((select private.is_staff()) and staff_id = (select private.current_uid()))
);
