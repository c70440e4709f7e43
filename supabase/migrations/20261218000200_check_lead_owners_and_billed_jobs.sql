-- Purpose: a lead is given only to active staff, as a job is, so that somebody sees it; an invoice bills only a job of its own customer.
-- Tables:  triggers on public.leads and public.invoices. Rows that are there stay as they are.
-- Locks:   share row exclusive on each of them for an instant.
-- Undo:    drop the triggers named below; drop function private.check_lead_owner, private.check_billed_job;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.check_lead_owner()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if (tg_op = 'INSERT' or new.assigned_to is distinct from old.assigned_to)
        -- An unknown person is left to the foreign key.
        and exists (select from public.staff as s where s.user_id = new.assigned_to and not s.active) then
        raise exception 'a lead cannot be assigned to somebody who is not active'
            using errcode = 'check_violation', detail = 'assigned_to', hint = 'Choose an active member of staff.';
    end if;
    return new;
end;
$$;
comment on function private.check_lead_owner() is 'BEFORE INSERT OR UPDATE: whoever a lead is given to is active staff.';
revoke execute on function private.check_lead_owner() from public;

create function private.check_billed_job()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if exists (select from public.jobs as j where j.id = new.job_id and j.customer_id <> new.customer_id) then
        raise exception 'the job belongs to another customer'
            using errcode = 'check_violation', detail = format('job_id: %s', new.job_id), hint = 'Bill a job of the same customer, or none.';
    end if;
    return new;
end;
$$;
comment on function private.check_billed_job() is 'BEFORE INSERT OR UPDATE: the job that an invoice bills is one of its customer''s.';
revoke execute on function private.check_billed_job() from public;

create trigger p_lead_owner before insert or update of assigned_to on public.leads
for each row when (new.assigned_to is not null) execute function private.check_lead_owner();
comment on trigger p_lead_owner on public.leads is 'Leads are given to active staff only.';

create trigger p_billed_job before insert or update of job_id, customer_id on public.invoices
for each row when (new.job_id is not null) execute function private.check_billed_job();
comment on trigger p_billed_job on public.invoices is 'Invoices bill jobs of their own customer only.';
