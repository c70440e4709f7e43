-- Purpose: phone calls with customers.
-- Tables:  public.calls (new).
-- Locks:   share row exclusive on public.customers and public.staff for the foreign keys, for an instant.
-- Undo:    drop table public.calls; drop function private.fill_call_staff;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table public.calls (
    id uuid not null default gen_random_uuid() constraint calls_pkey primary key,
    customer_id uuid not null,
    staff_id uuid,
    direction text not null constraint calls_direction_known check (direction in ('inbound', 'outbound')),
    started_at timestamptz not null default now(),
    ended_at timestamptz,
    outcome text constraint calls_outcome_known check (
        outcome in ('connected', 'no_answer', 'voicemail', 'busy', 'demo_booked', 'other')
    ),
    notes text constraint calls_notes_length check (char_length(notes) <= 10000),
    next_action text constraint calls_next_action_length check (char_length(next_action) <= 1000),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint calls_ends_after_start check (ended_at >= started_at),
    constraint calls_customer_id_fkey foreign key (customer_id) references public.customers (id) on delete cascade,
    constraint calls_staff_id_fkey foreign key (staff_id) references public.staff (user_id) on delete set null
);
alter table public.calls enable row level security;
revoke all on public.calls from public, anon, authenticated, service_role;

comment on table public.calls is 'Calls with customers. Staff only.';
comment on column public.calls.id is 'May be supplied by the client.';
comment on column public.calls.customer_id is 'Who was on the line.';
comment on column public.calls.staff_id is 'Who of us was on the line; the caller when absent.';
comment on column public.calls.direction is 'inbound or outbound.';
comment on column public.calls.started_at is 'When the call began.';
comment on column public.calls.ended_at is 'When it ended, or null while it lasts.';
comment on column public.calls.outcome is 'connected, no_answer, voicemail, busy, demo_booked or other.';
comment on column public.calls.notes is 'At most 10,000 characters.';
comment on column public.calls.next_action is 'What was agreed.';
comment on column public.calls.created_at is 'Set by trigger.';
comment on column public.calls.updated_at is 'Set by trigger when something changed.';
comment on column public.calls.version is 'Raised by trigger when something changed.';

create index calls_customer_id_idx on public.calls (customer_id, started_at desc);
create index calls_staff_id_idx on public.calls (staff_id, started_at desc);

create function private.fill_call_staff()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if new.staff_id is null and current_user = 'authenticated' then
        new.staff_id := private.current_uid();
    end if;
    return new;
end;
$$;
comment on function private.fill_call_staff() is 'BEFORE INSERT: staff_id is the signed-in user when absent.';
revoke execute on function private.fill_call_staff() from public;

create trigger b_fill_staff before insert on public.calls
for each row execute function private.fill_call_staff();
create trigger b_keep_customer before update on public.calls
for each row execute function private.keep_customer();
create trigger z_version before insert or update on public.calls
for each row execute function private.touch_row();
