-- Purpose: invoices (portal table) and their items.
-- Tables:  public.invoices, public.invoice_items (new).
-- Locks:   share row exclusive on public.customers and public.jobs for the foreign keys, for an instant.
-- Undo:    drop table public.invoice_items, public.invoices;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table public.invoices (
    id uuid not null default gen_random_uuid() constraint invoices_pkey primary key,
    customer_id uuid not null,
    job_id uuid,
    series text not null default 'INV' constraint invoices_series_format check (series ~ '^[A-Z0-9-]{1,16}$'),
    number bigint,
    status text not null default 'draft' constraint invoices_status_known check (
        status in ('draft', 'sent', 'paid', 'overdue', 'void')
    ),
    currency text not null default 'EUR' constraint invoices_currency_format check (currency ~ '^[A-Z]{3}$'),
    total_cents bigint not null default 0 constraint invoices_total_range check (total_cents between 0 and 100000000000000),
    lines jsonb not null default '[]'::jsonb constraint invoices_lines_array check (jsonb_typeof(lines) = 'array'),
    due_on date,
    sent_at timestamptz,
    paid_at timestamptz,
    voided_at timestamptz,
    notes text constraint invoices_notes_length check (char_length(notes) <= 10000),
    deleted_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint invoices_series_number_key unique (series, number),
    constraint invoices_number_when_sent check ((status in ('draft', 'void')) or number is not null),
    constraint invoices_paid_has_time check ((status = 'paid') = (paid_at is not null)),
    constraint invoices_void_has_time check ((status = 'void') = (voided_at is not null)),
    constraint invoices_customer_id_fkey foreign key (customer_id) references public.customers (id) on delete cascade,
    constraint invoices_job_id_fkey foreign key (job_id) references public.jobs (id) on delete set null
);
alter table public.invoices enable row level security;
revoke all on public.invoices from public, anon, authenticated, service_role;

comment on table public.invoices is 'Invoices. The customer sees every column, but no drafts.';
comment on column public.invoices.id is 'May be supplied by the client.';
comment on column public.invoices.customer_id is 'Whose invoice it is; changed only by move_to_customer.';
comment on column public.invoices.job_id is 'The job it bills, or null.';
comment on column public.invoices.series is 'Number series, for example INV; capital letters, digits, dashes.';
comment on column public.invoices.number is 'Given when the invoice is sent; without gaps within a series.';
comment on column public.invoices.status is 'draft, sent, paid, overdue or void; see private.invoice_transitions.';
comment on column public.invoices.currency is 'ISO 4217 code.';
comment on column public.invoices.total_cents is 'Sum of the items in cents; kept by trigger, frozen once sent.';
comment on column public.invoices.lines is 'The items as a JSON array in order; kept by trigger, frozen once sent.';
comment on column public.invoices.due_on is 'Day by which it is to be paid.';
comment on column public.invoices.sent_at is 'Set when sent.';
comment on column public.invoices.paid_at is 'Set when paid.';
comment on column public.invoices.voided_at is 'Set when made void.';
comment on column public.invoices.notes is 'Text printed on the invoice: the customer sees it.';
comment on column public.invoices.deleted_at is 'Soft delete of a draft; set by the RPC soft_delete.';
comment on column public.invoices.created_at is 'Set by trigger.';
comment on column public.invoices.updated_at is 'Set by trigger when something changed.';
comment on column public.invoices.version is 'Raised by trigger when something changed.';

create index invoices_customer_id_idx on public.invoices (customer_id, id) where deleted_at is null and status <> 'draft';
create index invoices_customer_id_all_idx on public.invoices (customer_id);
create index invoices_job_id_idx on public.invoices (job_id);
create index invoices_status_idx on public.invoices (status, due_on, id);
create index invoices_updated_at_idx on public.invoices (updated_at, id);

create table public.invoice_items (
    id uuid not null default gen_random_uuid() constraint invoice_items_pkey primary key,
    invoice_id uuid not null,
    customer_id uuid not null,
    position integer not null constraint invoice_items_position_positive check (position > 0),
    description text not null constraint invoice_items_description_length check (char_length(description) between 1 and 1000),
    quantity integer not null default 1 constraint invoice_items_quantity_range check (quantity between 1 and 1000000),
    unit_price_cents bigint not null constraint invoice_items_price_range check (unit_price_cents between 0 and 100000000),
    amount_cents bigint not null generated always as (quantity * unit_price_cents) stored,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint invoice_items_invoice_id_position_key unique (invoice_id, position) deferrable initially immediate,
    constraint invoice_items_invoice_id_fkey foreign key (invoice_id) references public.invoices (id) on delete cascade,
    constraint invoice_items_customer_id_fkey foreign key (customer_id) references public.customers (id) on delete cascade
);
alter table public.invoice_items enable row level security;
revoke all on public.invoice_items from public, anon, authenticated, service_role;

comment on table public.invoice_items is 'Items of an invoice. Staff only; the customer reads them as invoices.lines.';
comment on column public.invoice_items.id is 'May be supplied by the client.';
comment on column public.invoice_items.invoice_id is 'The invoice; it must be a draft.';
comment on column public.invoice_items.customer_id is 'The invoice''s customer; filled in from the invoice.';
comment on column public.invoice_items.position is 'Order on the invoice, from 1.';
comment on column public.invoice_items.description is '1 to 1,000 characters.';
comment on column public.invoice_items.quantity is '1 to 1,000,000.';
comment on column public.invoice_items.unit_price_cents is 'Price of one, in cents of the invoice''s currency.';
comment on column public.invoice_items.amount_cents is 'quantity times unit_price_cents.';
comment on column public.invoice_items.created_at is 'Set by trigger.';
comment on column public.invoice_items.updated_at is 'Set by trigger when something changed.';
comment on column public.invoice_items.version is 'Raised by trigger when something changed.';

create index invoice_items_customer_id_idx on public.invoice_items (customer_id);
