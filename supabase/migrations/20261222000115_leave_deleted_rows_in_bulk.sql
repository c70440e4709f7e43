-- Purpose: as the migration before this one, for assigning a job and for saving rows in bulk: deleted rows stay as they are.
-- Tables:  public.customers, jobs, messages at run time.
-- Locks:   none. At run time, assigning a job shares its row until the commit, as the foreign key of a new assignment does.
-- Undo:    restore public.assign_job of 20261129000400 and private.bulk_group of 20261103000500.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function public.assign_job(job_id uuid, assigned_to uuid default null, expected_version bigint default null)
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
    end if;
    -- Shared, so that the job cannot be deleted between this look and the commit.
    perform from public.jobs as j where j.id = assign_job.job_id and j.deleted_at is null for key share;
    if not found then
        perform private.raise_not_open('jobs', assign_job.job_id);
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

create or replace function private.bulk_group(table_name text, rows jsonb, mode text)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    key text := private.key_column(table_name);
    names text[];
    settable text[];
    written jsonb;
    conflict text := 'do nothing';
begin
    select array_agg(k order by k) into names from jsonb_object_keys(rows -> 0) as k;
    -- Saving again neither takes a row away from somebody nor turns back what has happened to a job.
    settable := array(select n from unnest(names) as n
        where n <> all (array[key, 'customer_id', 'id', 'assigned_to']) and not (table_name = 'jobs' and n = 'status'));
    if mode = 'save' and settable <> '{}' then
        select format('do update set %s where case when (%s) is distinct from (%s) then %s end', string_agg(format('%1$I = excluded.%1$I', n), ', '),
            string_agg(format('t.%I', n), ', '), string_agg(format('excluded.%I', n), ', '),
            -- Asked of a row that would be changed, once it is locked.
            case when table_name = any (array['customers', 'jobs', 'messages']) then format('private.is_open(%L, t.id, t.deleted_at)', table_name) else 'true' end)
        into conflict from unnest(settable) as n;
    end if;
    execute format(
        'with written as (
            insert into public.%1$I as t (%2$s) select %2$s from jsonb_populate_recordset(null::public.%1$I, $1)
            on conflict (%3$I) %4$s returning t.%3$I as row_id, t.version
        ) select coalesce(jsonb_object_agg(w.row_id, w.version), ''{}''::jsonb) from written as w',
        table_name, (select string_agg(format('%I', n), ', ') from unnest(names) as n), key, conflict
    ) into written using rows;
    return written;
end;
$$;
