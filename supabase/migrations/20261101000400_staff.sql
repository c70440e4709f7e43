-- Purpose: who works here. The authority for every staff right; removing or deactivating a row takes effect at once.
-- Tables:  public.staff (new).
-- Locks:   share row exclusive on auth.users for the foreign key, for an instant.
-- Undo:    drop table public.staff;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table public.staff (
    user_id uuid not null constraint staff_pkey primary key,
    full_name text not null constraint staff_full_name_length check (char_length(full_name) between 1 and 200),
    email text not null constraint staff_email_length check (char_length(email) between 3 and 320),
    role text not null constraint staff_role_known check (role in ('admin', 'manager', 'agent')),
    active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint staff_user_id_fkey foreign key (user_id) references auth.users (id) on delete restrict
);
alter table public.staff enable row level security;
revoke all on public.staff from public, anon, authenticated, service_role;

comment on table public.staff is 'Staff members. A signed-in user is staff while an active row says so.';
comment on column public.staff.user_id is 'The user in auth.users.';
comment on column public.staff.full_name is 'Name shown to customers beside messages.';
comment on column public.staff.email is 'Work address.';
comment on column public.staff.role is 'admin, manager or agent.';
comment on column public.staff.active is 'False takes every right away at once.';
comment on column public.staff.created_at is 'Set by trigger.';
comment on column public.staff.updated_at is 'Set by trigger when something changed.';
comment on column public.staff.version is 'Raised by trigger when something changed.';

create trigger z_version before insert or update on public.staff
for each row execute function private.touch_row();
