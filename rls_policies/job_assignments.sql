-- Staff only. Managers assign anybody; agents take free jobs and give their own back.
alter table public.job_assignments enable row level security;
revoke all on public.job_assignments from public, anon, authenticated, service_role;

grant select on public.job_assignments to authenticated;
grant insert (job_id, customer_id, assigned_to, created_at, updated_at, version) on public.job_assignments to authenticated;
grant update (assigned_to, created_at, updated_at, version) on public.job_assignments to authenticated;
grant select, insert, update on public.job_assignments to service_role;

drop policy if exists "staff see who does which job" on public.job_assignments;
create policy "staff see who does which job" on public.job_assignments
for select to authenticated
using (
    (select private.is_staff())
);

drop policy if exists "staff assign jobs, agents to themselves" on public.job_assignments;
create policy "staff assign jobs, agents to themselves" on public.job_assignments
for insert to authenticated
with check (
    (select private.is_manager())
    or ((select private.is_staff()) and (assigned_to is null or assigned_to = (select private.current_uid())))
);

drop policy if exists "staff reassign jobs, agents free and own ones" on public.job_assignments;
create policy "staff reassign jobs, agents free and own ones" on public.job_assignments
for update to authenticated
using (
    (select private.is_manager())
    or ((select private.is_staff()) and (assigned_to is null or assigned_to = (select private.current_uid())))
)
with check (
    (select private.is_manager())
    or ((select private.is_staff()) and (assigned_to is null or assigned_to = (select private.current_uid())))
);
