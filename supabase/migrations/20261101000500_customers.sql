-- Purpose: the customer record. Portal table: the customer who owns the row may see every column.
-- Tables:  public.customers (new).
-- Locks:   share row exclusive on auth.users for the foreign key, for an instant.
-- Undo:    drop table public.customers;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table public.customers (
    id uuid not null default gen_random_uuid() constraint customers_pkey primary key,
    portal_user_id uuid,
    name text not null constraint customers_name_length check (char_length(name) between 1 and 200),
    email text constraint customers_email_length check (char_length(email) between 3 and 320),
    phone text constraint customers_phone_length check (char_length(phone) <= 50),
    address text constraint customers_address_length check (char_length(address) <= 1000),
    branch text constraint customers_branch_length check (char_length(branch) <= 100),
    preferences jsonb not null default '{}'::jsonb constraint customers_preferences_object check (
        jsonb_typeof(preferences) = 'object' and pg_column_size(preferences) <= 65536
    ),
    deleted_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint customers_portal_user_id_key unique (portal_user_id),
    constraint customers_portal_user_id_fkey foreign key (portal_user_id) references auth.users (id) on delete set null
);
alter table public.customers enable row level security;
revoke all on public.customers from public, anon, authenticated, service_role;

comment on table public.customers is 'Customers. Every column may be seen by the customer; what they must not see lives in leads, lead_notes and job_notes.';
comment on column public.customers.id is 'May be supplied by the client.';
comment on column public.customers.portal_user_id is 'The portal login of this customer, or null while there is none.';
comment on column public.customers.name is 'Person or company, 1 to 200 characters.';
comment on column public.customers.email is 'Contact address; not a login and not unique.';
comment on column public.customers.phone is 'Contact number as written.';
comment on column public.customers.address is 'Postal address.';
comment on column public.customers.branch is 'The branch that looks after this customer.';
comment on column public.customers.preferences is 'JSON object of the customer''s own settings, at most 64 KiB.';
comment on column public.customers.deleted_at is 'Soft delete: the account is closed and its portal user loses access at once.';
comment on column public.customers.created_at is 'Set by trigger.';
comment on column public.customers.updated_at is 'Set by trigger when something changed.';
comment on column public.customers.version is 'Raised by trigger when something changed.';

create index customers_name_idx on public.customers (name, id);
create index customers_email_idx on public.customers (email);
create index customers_updated_at_idx on public.customers (updated_at, id);

create trigger z_version before insert or update on public.customers
for each row execute function private.touch_row();
