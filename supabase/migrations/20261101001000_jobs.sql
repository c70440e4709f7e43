-- Purpose: jobs (portal table) and the staff's own notes on them.
-- Tables:  public.jobs, public.job_notes (new).
-- Locks:   share row exclusive on public.customers and public.staff for the foreign keys, for an instant.
-- Undo:    drop table public.job_notes, public.jobs; drop function private.fill_job_note;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table public.jobs (
    id uuid not null default gen_random_uuid() constraint jobs_pkey primary key,
    customer_id uuid not null,
    title text not null constraint jobs_title_length check (char_length(title) between 1 and 200),
    description text constraint jobs_description_length check (char_length(description) <= 10000),
    address text constraint jobs_address_length check (char_length(address) <= 1000),
    status text not null default 'requested' constraint jobs_status_known check (
        status in ('requested', 'scheduled', 'in_progress', 'completed', 'cancelled')
    ),
    scheduled_start timestamptz,
    scheduled_end timestamptz,
    started_at timestamptz,
    completed_at timestamptz,
    cancelled_at timestamptz,
    deleted_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint jobs_scheduled_has_start check (status <> 'scheduled' or scheduled_start is not null),
    constraint jobs_ends_after_start check (scheduled_end >= scheduled_start),
    constraint jobs_completed_has_time check ((status = 'completed') = (completed_at is not null)),
    constraint jobs_cancelled_has_time check ((status = 'cancelled') = (cancelled_at is not null)),
    constraint jobs_customer_id_fkey foreign key (customer_id) references public.customers (id) on delete cascade
);
alter table public.jobs enable row level security;
revoke all on public.jobs from public, anon, authenticated, service_role;

comment on table public.jobs is 'Jobs. Every column may be seen by the customer; cost and internal remarks live in job_notes.';
comment on column public.jobs.id is 'May be supplied by the client.';
comment on column public.jobs.customer_id is 'Whose job it is; changed only by move_to_customer.';
comment on column public.jobs.title is '1 to 200 characters.';
comment on column public.jobs.description is 'At most 10,000 characters.';
comment on column public.jobs.address is 'Where the work is done.';
comment on column public.jobs.status is 'requested, scheduled, in_progress, completed or cancelled; see private.job_transitions.';
comment on column public.jobs.scheduled_start is 'Agreed start; required while scheduled.';
comment on column public.jobs.scheduled_end is 'Agreed end.';
comment on column public.jobs.started_at is 'Set when the job goes in progress.';
comment on column public.jobs.completed_at is 'Set on completion, taken away on reopening.';
comment on column public.jobs.cancelled_at is 'Set on cancellation, taken away on reinstating.';
comment on column public.jobs.deleted_at is 'Soft delete; set by the RPC soft_delete.';
comment on column public.jobs.created_at is 'Set by trigger.';
comment on column public.jobs.updated_at is 'Set by trigger when something changed.';
comment on column public.jobs.version is 'Raised by trigger when something changed.';

create index jobs_customer_id_idx on public.jobs (customer_id, id) where deleted_at is null;
create index jobs_customer_id_all_idx on public.jobs (customer_id);
create index jobs_status_idx on public.jobs (status, scheduled_start, id);
create index jobs_updated_at_idx on public.jobs (updated_at, id);

create table public.job_notes (
    id uuid not null default gen_random_uuid() constraint job_notes_pkey primary key,
    job_id uuid not null,
    customer_id uuid not null,
    author_id uuid,
    body text not null constraint job_notes_body_length check (char_length(body) between 1 and 10000),
    cost_cents bigint constraint job_notes_cost_range check (cost_cents between 0 and 100000000000),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint job_notes_job_id_fkey foreign key (job_id) references public.jobs (id) on delete cascade,
    constraint job_notes_customer_id_fkey foreign key (customer_id) references public.customers (id) on delete cascade,
    constraint job_notes_author_id_fkey foreign key (author_id) references public.staff (user_id) on delete set null
);
alter table public.job_notes enable row level security;
revoke all on public.job_notes from public, anon, authenticated, service_role;

comment on table public.job_notes is 'Internal notes and cost of a job. Staff only.';
comment on column public.job_notes.id is 'May be supplied by the client.';
comment on column public.job_notes.job_id is 'The job.';
comment on column public.job_notes.customer_id is 'The job''s customer; filled in from the job.';
comment on column public.job_notes.author_id is 'Who wrote it; filled in from the caller.';
comment on column public.job_notes.body is '1 to 10,000 characters.';
comment on column public.job_notes.cost_cents is 'Internal cost in cents, or null.';
comment on column public.job_notes.created_at is 'Set by trigger.';
comment on column public.job_notes.updated_at is 'Set by trigger when something changed.';
comment on column public.job_notes.version is 'Raised by trigger when something changed.';

create index job_notes_job_id_idx on public.job_notes (job_id, created_at);
create index job_notes_customer_id_idx on public.job_notes (customer_id);
create index job_notes_author_id_idx on public.job_notes (author_id);

create function private.fill_job_note()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    -- An unknown job leaves customer_id as it is; the foreign key refuses the row.
    new.customer_id := coalesce((select j.customer_id from public.jobs as j where j.id = new.job_id), new.customer_id);
    return new;
end;
$$;
comment on function private.fill_job_note() is 'BEFORE INSERT: customer_id is the job''s customer.';
revoke execute on function private.fill_job_note() from public;

create trigger b_fill_author before insert on public.job_notes
for each row execute function private.fill_author();
create trigger b_fill_customer before insert on public.job_notes
for each row execute function private.fill_job_note();
create trigger b_keep_customer before update on public.job_notes
for each row execute function private.keep_customer();
create trigger z_version before insert or update on public.job_notes
for each row execute function private.touch_row();
