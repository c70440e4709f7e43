-- Purpose: the state machine of jobs, its time stamps, and what a customer may write.
-- Tables:  private.job_transitions (new); triggers on public.jobs.
-- Locks:   share row exclusive on public.jobs for an instant.
-- Undo:    drop trigger a_guard_insert, a_guard_update, b_keep_customer, m_status, z_version on public.jobs;
--          drop function private.apply_job_status, private.check_transition; drop table private.job_transitions;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table private.job_transitions (
    from_status text not null,
    to_status text not null,
    roles text[] not null,
    constraint job_transitions_pkey primary key (from_status, to_status)
);
alter table private.job_transitions enable row level security;
comment on table private.job_transitions is 'Allowed status changes of a job and who may make them. The owner and the secret key may make every listed one.';
comment on column private.job_transitions.from_status is 'Status before.';
comment on column private.job_transitions.to_status is 'Status after.';
comment on column private.job_transitions.roles is 'Staff roles, or customer.';

insert into private.job_transitions (from_status, to_status, roles) values
('requested', 'scheduled', '{agent,manager,admin}'),
('requested', 'cancelled', '{customer,agent,manager,admin}'),
('scheduled', 'requested', '{agent,manager,admin}'),
('scheduled', 'in_progress', '{agent,manager,admin}'),
('scheduled', 'completed', '{agent,manager,admin}'),
('scheduled', 'cancelled', '{agent,manager,admin}'),
('in_progress', 'scheduled', '{agent,manager,admin}'),
('in_progress', 'completed', '{agent,manager,admin}'),
('in_progress', 'cancelled', '{agent,manager,admin}'),
('completed', 'in_progress', '{manager,admin}'),
('cancelled', 'requested', '{agent,manager,admin}');

create function private.check_transition(kind text, from_status text, to_status text, allowed_roles text[], reachable text)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
    caller text := case
        when current_setting('role', true) = 'authenticated' then coalesce(private.staff_role(), 'customer')
        else 'system'
    end;
begin
    if allowed_roles is null then
        raise exception '% cannot go from % to %', kind, from_status, to_status
            using errcode = 'check_violation',
                detail = format('from: %s, to: %s', from_status, to_status),
                hint = format('From %s it can go to: %s.', from_status, coalesce(reachable, 'nothing, this is final'));
    elsif caller <> 'system' and caller <> all (allowed_roles) then
        raise exception '% may not move % from % to %', caller, kind, from_status, to_status
            using errcode = 'insufficient_privilege',
                detail = format('role: %s, from: %s, to: %s', caller, from_status, to_status),
                hint = format('Allowed for: %s.', array_to_string(allowed_roles, ', '));
    end if;
end;
$$;
comment on function private.check_transition(text, text, text, text[], text) is 'Raises 23514 for a transition that does not exist (roles null) and 42501 for one that the caller''s role may not make.';
revoke execute on function private.check_transition(text, text, text, text[], text) from public;

create function private.apply_job_status()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if tg_op = 'UPDATE' then
        if new.status is distinct from old.status then
            perform private.check_transition(
                'job', old.status, new.status,
                (select t.roles from private.job_transitions as t where t.from_status = old.status and t.to_status = new.status),
                (select string_agg(t.to_status, ', ' order by t.to_status) from private.job_transitions as t where t.from_status = old.status)
            );
        else
            new.started_at := old.started_at;
            new.completed_at := old.completed_at;
            new.cancelled_at := old.cancelled_at;
            return new;
        end if;
    end if;
    new.started_at := case when new.status in ('in_progress', 'completed') then coalesce(new.started_at, case when new.status = 'in_progress' then now() end) end;
    new.completed_at := case when new.status = 'completed' then coalesce(new.completed_at, now()) end;
    new.cancelled_at := case when new.status = 'cancelled' then coalesce(new.cancelled_at, now()) end;
    return new;
end;
$$;
comment on function private.apply_job_status() is 'BEFORE INSERT OR UPDATE: checks the status change and keeps started_at, completed_at and cancelled_at in step with it.';
revoke execute on function private.apply_job_status() from public;

create trigger a_guard_insert before insert on public.jobs
for each row execute function private.guard_customer_write('id', 'customer_id', 'title', 'description', 'address', 'status');
create trigger a_guard_update before update on public.jobs
for each row execute function private.guard_customer_write('status');
create trigger b_keep_customer before update on public.jobs
for each row execute function private.keep_customer();
create trigger m_status before insert or update on public.jobs
for each row execute function private.apply_job_status();
create trigger z_version before insert or update on public.jobs
for each row execute function private.touch_row();
