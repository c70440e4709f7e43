-- Purpose: what sales knows about a customer, kept out of the customer's own row.
-- Tables:  public.leads, public.lead_notes (new).
-- Locks:   share row exclusive on public.customers and public.staff for the foreign keys, for an instant.
-- Undo:    drop table public.lead_notes, public.leads; drop function private.my_lead_ids, private.fill_author;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table public.leads (
    customer_id uuid not null constraint leads_pkey primary key,
    status text not null default 'new' constraint leads_status_known check (
        status in ('new', 'contacted', 'qualified', 'demo_scheduled', 'won', 'lost')
    ),
    score integer not null default 0 constraint leads_score_range check (score between 0 and 100),
    conversion_probability double precision constraint leads_probability_range check (conversion_probability between 0 and 1),
    source text constraint leads_source_length check (char_length(source) <= 100),
    estimated_value_cents bigint constraint leads_value_range check (estimated_value_cents between 0 and 100000000000000),
    currency text not null default 'EUR' constraint leads_currency_format check (currency ~ '^[A-Z]{3}$'),
    assigned_to uuid,
    next_follow_up_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint leads_customer_id_fkey foreign key (customer_id) references public.customers (id) on delete cascade,
    constraint leads_assigned_to_fkey foreign key (assigned_to) references public.staff (user_id) on delete set null
);
alter table public.leads enable row level security;
revoke all on public.leads from public, anon, authenticated, service_role;

comment on table public.leads is 'Sales side of a customer, one row each. Staff only.';
comment on column public.leads.customer_id is 'The customer this lead is about.';
comment on column public.leads.status is 'new, contacted, qualified, demo_scheduled, won or lost.';
comment on column public.leads.score is '0 to 100.';
comment on column public.leads.conversion_probability is '0 to 1.';
comment on column public.leads.source is 'Where the lead came from.';
comment on column public.leads.estimated_value_cents is 'Expected value in cents of currency.';
comment on column public.leads.currency is 'ISO 4217 code.';
comment on column public.leads.assigned_to is 'The staff member in charge. Agents see only leads assigned to them.';
comment on column public.leads.next_follow_up_at is 'When to get in touch next.';
comment on column public.leads.created_at is 'Set by trigger.';
comment on column public.leads.updated_at is 'Set by trigger when something changed.';
comment on column public.leads.version is 'Raised by trigger when something changed.';

create index leads_assigned_to_idx on public.leads (assigned_to);
create index leads_next_follow_up_at_idx on public.leads (next_follow_up_at) where next_follow_up_at is not null;

create table public.lead_notes (
    id uuid not null default gen_random_uuid() constraint lead_notes_pkey primary key,
    customer_id uuid not null,
    author_id uuid,
    kind text not null default 'general' constraint lead_notes_kind_known check (kind in ('call', 'email', 'meeting', 'general')),
    body text not null constraint lead_notes_body_length check (char_length(body) between 1 and 10000),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint lead_notes_customer_id_fkey foreign key (customer_id) references public.leads (customer_id) on delete cascade,
    constraint lead_notes_author_id_fkey foreign key (author_id) references public.staff (user_id) on delete set null
);
alter table public.lead_notes enable row level security;
revoke all on public.lead_notes from public, anon, authenticated, service_role;

comment on table public.lead_notes is 'Notes on a lead. Staff only.';
comment on column public.lead_notes.id is 'May be supplied by the client.';
comment on column public.lead_notes.customer_id is 'The lead, which is named by its customer.';
comment on column public.lead_notes.author_id is 'Who wrote it; filled in from the caller.';
comment on column public.lead_notes.kind is 'call, email, meeting or general.';
comment on column public.lead_notes.body is '1 to 10,000 characters.';
comment on column public.lead_notes.created_at is 'Set by trigger.';
comment on column public.lead_notes.updated_at is 'Set by trigger when something changed.';
comment on column public.lead_notes.version is 'Raised by trigger when something changed.';

create index lead_notes_customer_id_idx on public.lead_notes (customer_id, created_at desc);
create index lead_notes_author_id_idx on public.lead_notes (author_id);

create function private.my_lead_ids()
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return query select l.customer_id from public.leads as l where l.assigned_to = private.current_uid();
end;
$$;
comment on function private.my_lead_ids() is 'Customers whose lead is assigned to the signed-in user.';
revoke execute on function private.my_lead_ids() from public;
grant execute on function private.my_lead_ids() to authenticated, service_role;

create function private.fill_author()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    -- The author is who is signed in; imports by the owner or the secret key may name one.
    if current_user = 'authenticated' then
        new.author_id := private.current_uid();
    end if;
    return new;
end;
$$;
comment on function private.fill_author() is 'BEFORE INSERT: author_id is the signed-in user.';
revoke execute on function private.fill_author() from public;

create trigger b_keep_customer before update on public.leads
for each row execute function private.keep_customer();
create trigger z_version before insert or update on public.leads
for each row execute function private.touch_row();
create trigger b_fill_author before insert on public.lead_notes
for each row execute function private.fill_author();
create trigger b_keep_customer before update on public.lead_notes
for each row execute function private.keep_customer();
create trigger z_version before insert or update on public.lead_notes
for each row execute function private.touch_row();
