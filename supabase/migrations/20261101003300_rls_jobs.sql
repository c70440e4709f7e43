-- Purpose: who may do what on jobs, job_notes: grants and policies, as in rls_policies/.
-- Tables:  public.jobs, public.job_notes.
-- Locks:   access exclusive on them, for an instant; they are empty.
-- Undo:    drop the policies named below and revoke all on the tables from authenticated and service_role.
set lock_timeout = '2s';
set statement_timeout = '60s';

-- jobs: Staff read and write every job; a customer reads the own ones, requests new ones and cancels requested ones (columns: trigger a_guard_*).
grant select on public.jobs to authenticated;
grant insert (id, customer_id, title, description, address, status, scheduled_start, scheduled_end, started_at, completed_at, cancelled_at, created_at, updated_at, version) on public.jobs to authenticated;
grant update (customer_id, title, description, address, status, scheduled_start, scheduled_end, started_at, completed_at, cancelled_at, created_at, updated_at, version) on public.jobs to authenticated;
grant select, insert, update on public.jobs to service_role;

create policy "staff read every job, a customer the own ones" on public.jobs
for select to authenticated
using (
    (select private.is_staff()) or (customer_id = (select private.my_customer_id()) and deleted_at is null)
);

create policy "staff add jobs, a customer requests own ones" on public.jobs
for insert to authenticated
with check (
    (select private.is_staff()) or (customer_id = (select private.my_customer_id()) and status = 'requested')
);

create policy "staff edit every job, a customer cancels requested own ones" on public.jobs
for update to authenticated
using (
    (select private.is_staff()) or (customer_id = (select private.my_customer_id()) and deleted_at is null and status = 'requested')
)
with check (
    (select private.is_staff()) or (customer_id = (select private.my_customer_id()) and status in ('requested', 'cancelled'))
);

-- job_notes: Staff only.
grant select on public.job_notes to authenticated;
grant insert (id, job_id, customer_id, author_id, body, cost_cents, created_at, updated_at, version) on public.job_notes to authenticated;
grant update (body, cost_cents, created_at, updated_at, version) on public.job_notes to authenticated;
grant select, insert, update on public.job_notes to service_role;

create policy "staff read job notes" on public.job_notes
for select to authenticated
using (
    (select private.is_staff())
);

create policy "staff add job notes" on public.job_notes
for insert to authenticated
with check (
    (select private.is_staff())
);

create policy "staff edit job notes" on public.job_notes
for update to authenticated
using (
    (select private.is_staff())
)
with check (
    (select private.is_staff())
);
