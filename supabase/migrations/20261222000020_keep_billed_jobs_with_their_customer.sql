-- Purpose: a job that an invoice of its customer bills is not moved to another one: the invoice would go on naming somebody else's job. Either
--          moves first without the other: an invoice leaves its job behind, and then the job is free.
-- Tables:  triggers on public.jobs and public.invoices. Rows that are there stay; one that is astray already may be moved where its invoice is.
-- Locks:   share row exclusive on each of them for an instant. At run time an invoice that names a job shares that row, as its foreign key does
--          anyway; moving a job waits for the transactions that share it.
-- Undo:    drop trigger p_unbilled_job on public.jobs; drop function private.check_unbilled_job; restore private.check_billed_job of 20261218000200.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.check_billed_job()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    owner uuid;
begin
    -- Shared until the commit: else the job could be moved between this look and the foreign key's. An unknown job is left to that.
    select j.customer_id into owner from public.jobs as j where j.id = new.job_id for key share;
    if owner <> new.customer_id then
        raise exception 'the job belongs to another customer'
            using errcode = 'check_violation', detail = format('job_id: %s', new.job_id), hint = 'Bill a job of the same customer, or none.';
    end if;
    return new;
end;
$$;

create function private.check_unbilled_job()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    invoice uuid;
begin
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        -- An older snapshot would not show an invoice that was committed meanwhile, and no lock would tell.
        raise exception 'a job cannot be moved in %', upper(current_setting('transaction_isolation'))
            using errcode = 'feature_not_supported', detail = 'Its invoices would be looked up in an older snapshot.',
                hint = 'Move it in a transaction of isolation level READ COMMITTED.';
    end if;
    -- Waits for whoever is billing it.
    perform from public.jobs as j where j.id = old.id for update;
    select i.id into invoice from public.invoices as i where i.job_id = old.id and i.customer_id <> new.customer_id limit 1;
    if found then
        raise exception 'an invoice of another customer bills the job'
            using errcode = 'check_violation', schema = 'public', table = 'jobs', column = 'customer_id', constraint = 'jobs_unbilled',
                detail = format('invoice: %s', invoice), hint = 'Move the invoice first, or take job_id from it.';
    end if;
    return new;
end;
$$;
comment on function private.check_unbilled_job() is 'BEFORE UPDATE: a job goes to another customer only when no invoice of somebody else bills it.';
revoke execute on function private.check_unbilled_job() from public;

create trigger p_unbilled_job before update of customer_id on public.jobs
for each row when (new.customer_id <> old.customer_id) execute function private.check_unbilled_job();
comment on trigger p_unbilled_job on public.jobs is 'A billed job stays with the customer of its invoice.';
