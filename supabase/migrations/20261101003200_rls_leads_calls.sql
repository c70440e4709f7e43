-- Purpose: who may do what on leads, lead_notes, calls: grants and policies, as in rls_policies/.
-- Tables:  public.leads, public.lead_notes, public.calls.
-- Locks:   access exclusive on them, for an instant; they are empty.
-- Undo:    drop the policies named below and revoke all on the tables from authenticated and service_role.
set lock_timeout = '2s';
set statement_timeout = '60s';

-- leads: Agents see, add and edit only leads that are assigned to them; managers and admins all.
grant select, insert, update on public.leads to authenticated;
grant select, insert, update on public.leads to service_role;

create policy "staff read the leads they may see" on public.leads
for select to authenticated
using (
    (select private.is_manager()) or ((select private.is_staff()) and assigned_to = (select private.current_uid()))
);

create policy "staff add leads, agents for themselves" on public.leads
for insert to authenticated
with check (
    (select private.is_manager()) or ((select private.is_staff()) and assigned_to = (select private.current_uid()))
);

create policy "staff edit the leads they may see, agents keep them" on public.leads
for update to authenticated
using (
    (select private.is_manager()) or ((select private.is_staff()) and assigned_to = (select private.current_uid()))
)
with check (
    (select private.is_manager()) or ((select private.is_staff()) and assigned_to = (select private.current_uid()))
);

-- lead_notes: Notes follow their lead: agents those of leads assigned to them, managers and admins all. Authors edit their own.
grant select on public.lead_notes to authenticated;
grant insert (id, customer_id, author_id, kind, body, created_at, updated_at, version) on public.lead_notes to authenticated;
grant update (kind, body, created_at, updated_at, version) on public.lead_notes to authenticated;
grant select, insert, update on public.lead_notes to service_role;

create policy "staff read notes on the leads they may see" on public.lead_notes
for select to authenticated
using (
    (select private.is_manager()) or ((select private.is_staff()) and customer_id = any (array(select private.my_lead_ids())))
);

create policy "staff add notes to the leads they may see" on public.lead_notes
for insert to authenticated
with check (
    (select private.is_manager()) or ((select private.is_staff()) and customer_id = any (array(select private.my_lead_ids())))
);

create policy "agents edit their own notes, managers all" on public.lead_notes
for update to authenticated
using (
    (select private.is_manager()) or ((select private.is_staff()) and author_id = (select private.current_uid()) and customer_id = any (array(select private.my_lead_ids())))
)
with check (
    (select private.is_manager()) or ((select private.is_staff()) and author_id = (select private.current_uid()) and customer_id = any (array(select private.my_lead_ids())))
);

-- calls: Staff read all calls; agents add and edit their own, managers and admins all.
grant select on public.calls to authenticated;
grant insert on public.calls to authenticated;
grant update (direction, started_at, ended_at, outcome, notes, next_action, staff_id, created_at, updated_at, version) on public.calls to authenticated;
grant select, insert, update on public.calls to service_role;

create policy "staff read calls" on public.calls
for select to authenticated
using (
    (select private.is_staff())
);

create policy "agents log their own calls, managers all" on public.calls
for insert to authenticated
with check (
    (select private.is_manager()) or ((select private.is_staff()) and staff_id = (select private.current_uid()))
);

create policy "agents edit their own calls, managers all" on public.calls
for update to authenticated
using (
    (select private.is_manager()) or ((select private.is_staff()) and staff_id = (select private.current_uid()))
)
with check (
    (select private.is_manager()) or ((select private.is_staff()) and staff_id = (select private.current_uid()))
);
