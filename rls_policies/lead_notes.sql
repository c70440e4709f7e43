-- Notes follow their lead: agents those of leads assigned to them, managers and admins all. Authors edit their own.
alter table public.lead_notes enable row level security;
revoke all on public.lead_notes from public, anon, authenticated, service_role;

grant select on public.lead_notes to authenticated;
grant insert (id, customer_id, author_id, kind, body, created_at, updated_at, version) on public.lead_notes to authenticated;
grant update (kind, body, created_at, updated_at, version) on public.lead_notes to authenticated;
grant select, insert, update on public.lead_notes to service_role;

drop policy if exists "staff read notes on the leads they may see" on public.lead_notes;
create policy "staff read notes on the leads they may see" on public.lead_notes
for select to authenticated
using (
    (select private.is_manager()) or ((select private.is_staff()) and customer_id = any (array(select private.my_lead_ids())))
);

drop policy if exists "staff add notes to the leads they may see" on public.lead_notes;
create policy "staff add notes to the leads they may see" on public.lead_notes
for insert to authenticated
with check (
    (select private.is_manager()) or ((select private.is_staff()) and customer_id = any (array(select private.my_lead_ids())))
);

drop policy if exists "agents edit their own notes, managers all" on public.lead_notes;
create policy "agents edit their own notes, managers all" on public.lead_notes
for update to authenticated
using (
    (select private.is_manager()) or ((select private.is_staff()) and author_id = (select private.current_uid()) and customer_id = any (array(select private.my_lead_ids())))
)
with check (
    (select private.is_manager()) or ((select private.is_staff()) and author_id = (select private.current_uid()) and customer_id = any (array(select private.my_lead_ids())))
);
