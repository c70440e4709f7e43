-- Staff read and write every job; a customer reads the own ones, requests new ones and cancels requested ones (columns: trigger a_guard_*).
alter table public.jobs enable row level security;
revoke all on public.jobs from public, anon, authenticated, service_role;

grant select on public.jobs to authenticated;
grant insert (id, customer_id, title, description, address, status, scheduled_start, scheduled_end, started_at, completed_at, cancelled_at, created_at, updated_at, version) on public.jobs to authenticated;
grant update (customer_id, title, description, address, status, scheduled_start, scheduled_end, started_at, completed_at, cancelled_at, created_at, updated_at, version) on public.jobs to authenticated;
grant select, insert, update on public.jobs to service_role;

drop policy if exists "staff read every job, a customer the own ones" on public.jobs;
create policy "staff read every job, a customer the own ones" on public.jobs
for select to authenticated
using (
    (customer_id = (select private.my_customer_id()) and deleted_at is null) or (select private.is_staff())
);

drop policy if exists "staff add jobs, a customer requests own ones" on public.jobs;
create policy "staff add jobs, a customer requests own ones" on public.jobs
for insert to authenticated
with check (
    (select private.is_staff()) or (customer_id = (select private.my_customer_id()) and status = 'requested')
);

drop policy if exists "staff edit every job, a customer cancels requested own ones" on public.jobs;
create policy "staff edit every job, a customer cancels requested own ones" on public.jobs
for update to authenticated
using (
    (select private.is_staff()) or (customer_id = (select private.my_customer_id()) and deleted_at is null and status = 'requested')
)
with check (
    (select private.is_staff()) or (customer_id = (select private.my_customer_id()) and status in ('requested', 'cancelled'))
);
