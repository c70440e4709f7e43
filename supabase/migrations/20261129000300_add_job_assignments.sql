-- Purpose: who does which job, kept out of the job's own row, which the customer sees.
-- Tables:  public.job_assignments (new); a trigger on public.jobs.
-- Locks:   share row exclusive on public.jobs, customers and staff for the foreign keys and the trigger, for an instant.
-- Undo:    drop trigger y_move_assignment on public.jobs; drop table public.job_assignments;
--          drop function private.check_assignment, private.move_assignment; restore the body of private.key_column (20261102000700).
set lock_timeout = '2s';
set statement_timeout = '60s';

create table public.job_assignments (
    job_id uuid not null constraint job_assignments_pkey primary key,
    customer_id uuid not null,
    assigned_to uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint job_assignments_job_id_fkey foreign key (job_id) references public.jobs (id) on delete cascade,
    constraint job_assignments_customer_id_fkey foreign key (customer_id) references public.customers (id) on delete cascade,
    constraint job_assignments_assigned_to_fkey foreign key (assigned_to) references public.staff (user_id) on delete set null
);
comment on table public.job_assignments is 'Who does a job; a job without a row was never assigned. Staff only.';
comment on column public.job_assignments.job_id is 'The job.';
comment on column public.job_assignments.customer_id is 'The job''s customer; filled in from the job.';
comment on column public.job_assignments.assigned_to is 'The staff member who does it, active when assigned; null when the job was given back.';
comment on column public.job_assignments.created_at is 'Set by trigger.';
comment on column public.job_assignments.updated_at is 'Set by trigger when something changed.';
comment on column public.job_assignments.version is 'Raised by trigger when something changed.';
create index job_assignments_assigned_to_idx on public.job_assignments (assigned_to);
create index job_assignments_customer_id_idx on public.job_assignments (customer_id);

create function private.check_assignment()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if new.assigned_to is not null and (tg_op = 'INSERT' or new.assigned_to is distinct from old.assigned_to)
        -- An unknown person is left to the foreign key.
        and exists (select from public.staff as s where s.user_id = new.assigned_to and not s.active) then
        raise exception 'a job cannot be assigned to somebody who is not active'
            using errcode = 'check_violation', detail = 'assigned_to', hint = 'Choose an active member of staff.';
    end if;
    return new;
end;
$$;
comment on function private.check_assignment() is 'BEFORE INSERT OR UPDATE: the assignee is active staff.';
revoke execute on function private.check_assignment() from public;

create function private.move_assignment()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    update public.job_assignments as a set customer_id = new.customer_id where a.job_id = new.id;
    return null;
end;
$$;
comment on function private.move_assignment() is 'AFTER a job moved to another customer: its assignment follows.';
revoke execute on function private.move_assignment() from public;

create trigger y_move_assignment after update of customer_id on public.jobs
for each row when (old.customer_id is distinct from new.customer_id) execute function private.move_assignment();

create trigger a_claim_request before insert or update on public.job_assignments
for each row when (current_setting('request.headers', true) like '%"x-request-fingerprint"%') execute function private.claim_request();
create trigger b_fill_customer before insert on public.job_assignments
for each row execute function private.fill_job_note();
create trigger b_keep_customer before update on public.job_assignments
for each row execute function private.keep_customer();
create trigger c_check_assignment before insert or update on public.job_assignments
for each row execute function private.check_assignment();
create trigger z_version before insert or update on public.job_assignments
for each row execute function private.touch_row();
create trigger audit_insert after insert on public.job_assignments referencing new table as new_rows
for each statement execute function private.audit_changes('job_id', 'customer_id');
create trigger audit_update after update on public.job_assignments referencing old table as old_rows new table as new_rows
for each statement execute function private.audit_changes('job_id', 'customer_id');
create trigger audit_delete after delete on public.job_assignments referencing old table as old_rows
for each statement execute function private.audit_changes('job_id', 'customer_id');

create or replace function private.key_column(table_name text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
    if table_name = any (array['customers', 'lead_notes', 'calls', 'jobs', 'job_notes', 'invoices', 'messages', 'loyalty_transactions']) then
        return 'id';
    elsif table_name = 'leads' then
        return 'customer_id';
    elsif table_name = 'job_assignments' then
        return 'job_id';
    elsif table_name = 'staff' then
        return 'user_id';
    end if;
    raise exception 'unknown table %', coalesce(left(table_name, 63), 'null')
        using errcode = 'invalid_parameter_value',
            hint = 'customers, leads, lead_notes, calls, jobs, job_notes, job_assignments, invoices, messages, loyalty_transactions or staff.';
end;
$$;

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
