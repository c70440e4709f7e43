-- Purpose: assign a job, or give it back, in one call.
-- Tables:  public.job_assignments at run time, as the caller.
-- Locks:   none.
-- Undo:    drop function public.assign_job;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function public.assign_job(job_id uuid, assigned_to uuid default null, expected_version bigint default null)
returns public.job_assignments
language plpgsql
set search_path = ''
as $$
#variable_conflict use_column
declare
    written public.job_assignments;
begin
    if current_setting('role', true) = 'authenticated' and not (select private.is_staff()) then
        raise exception 'only staff may assign jobs' using errcode = 'insufficient_privilege', hint = 'Sign in as an active staff member.';
    elsif not exists (select from public.jobs as j where j.id = assign_job.job_id and j.deleted_at is null) then
        perform private.raise_no_row('jobs', assign_job.job_id);
    end if;
    if expected_version is null or expected_version = 0 then
        insert into public.job_assignments (job_id, assigned_to) values (assign_job.job_id, assign_job.assigned_to)
        on conflict (job_id) do nothing returning * into written;
        if found then
            return written;
        end if;
    end if;
    select a.* into written from public.job_assignments as a where a.job_id = assign_job.job_id;
    if expected_version <> coalesce(written.version, 0) then
        raise exception 'the assignment has changed since version %', expected_version
            using errcode = 'PS003', detail = format('current version: %s', coalesce(written.version, 0)), hint = 'Read it again and decide.';
    elsif written.assigned_to is not distinct from assign_job.assigned_to then
        return written;
    end if;
    update public.job_assignments as a set assigned_to = assign_job.assigned_to
    where a.job_id = assign_job.job_id and (expected_version is null or a.version = expected_version)
    returning a.* into written;
    if found then
        return written;
    elsif exists (select from public.job_assignments as a where a.job_id = assign_job.job_id and a.version <> expected_version) then
        raise exception 'the assignment has changed since version %', expected_version
            using errcode = 'PS003', hint = 'Read it again and decide.';
    end if;
    raise exception 'only managers take a job from somebody else'
        using errcode = 'insufficient_privilege', detail = 'assigned_to', hint = 'Ask a manager, or the colleague to give it back.';
end;
$$;
comment on function public.assign_job(uuid, uuid, bigint) is 'Staff: assign a job to somebody (null gives it back), if the assignment is at this version (0: never assigned; null: whatever it is). Returns the assignment; PS003 when it has changed.';
revoke execute on function public.assign_job(uuid, uuid, bigint) from public, anon;
grant execute on function public.assign_job(uuid, uuid, bigint) to authenticated, service_role;
