-- Staff only.
alter table public.job_notes enable row level security;
revoke all on public.job_notes from public, anon, authenticated, service_role;

grant select on public.job_notes to authenticated;
grant insert (id, job_id, customer_id, author_id, body, cost_cents, created_at, updated_at, version) on public.job_notes to authenticated;
grant update (body, cost_cents, created_at, updated_at, version) on public.job_notes to authenticated;
grant select, insert, update on public.job_notes to service_role;

drop policy if exists "staff read job notes" on public.job_notes;
create policy "staff read job notes" on public.job_notes
for select to authenticated
using (
    (select private.is_staff())
);

drop policy if exists "staff add job notes" on public.job_notes;
create policy "staff add job notes" on public.job_notes
for insert to authenticated
with check (
    (select private.is_staff())
);

drop policy if exists "staff edit job notes" on public.job_notes;
create policy "staff edit job notes" on public.job_notes
for update to authenticated
using (
    (select private.is_staff())
)
with check (
    (select private.is_staff())
);
