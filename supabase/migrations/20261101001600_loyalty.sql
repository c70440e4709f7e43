-- Purpose: loyalty points: one account per customer and an append-only ledger (portal table).
-- Tables:  public.loyalty_accounts, public.loyalty_transactions (new).
-- Locks:   share row exclusive on public.customers for the foreign keys, for an instant.
-- Undo:    drop table public.loyalty_transactions, public.loyalty_accounts;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table public.loyalty_accounts (
    customer_id uuid not null constraint loyalty_accounts_pkey primary key,
    balance bigint not null default 0 constraint loyalty_accounts_balance_not_negative check (balance >= 0),
    last_entry bigint not null default 0 constraint loyalty_accounts_last_entry_not_negative check (last_entry >= 0),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint loyalty_accounts_customer_id_fkey foreign key (customer_id) references public.customers (id) on delete cascade
);
alter table public.loyalty_accounts enable row level security;
revoke all on public.loyalty_accounts from public, anon, authenticated, service_role;

comment on table public.loyalty_accounts is 'Balance per customer, kept by the ledger''s trigger. Its row lock puts the entries of a customer in one order.';
comment on column public.loyalty_accounts.customer_id is 'The customer.';
comment on column public.loyalty_accounts.balance is 'Points now: the sum of the ledger.';
comment on column public.loyalty_accounts.last_entry is 'entry_no of the newest ledger row.';
comment on column public.loyalty_accounts.created_at is 'Set by trigger.';
comment on column public.loyalty_accounts.updated_at is 'Set by trigger when something changed.';
comment on column public.loyalty_accounts.version is 'Raised by trigger when something changed.';

create table public.loyalty_transactions (
    id uuid not null default gen_random_uuid() constraint loyalty_transactions_pkey primary key,
    customer_id uuid not null,
    entry_no bigint not null constraint loyalty_transactions_entry_no_positive check (entry_no > 0),
    points bigint not null constraint loyalty_transactions_points_range check (points <> 0 and points between -1000000000 and 1000000000),
    balance_after bigint not null constraint loyalty_transactions_balance_not_negative check (balance_after >= 0),
    kind text not null constraint loyalty_transactions_kind_known check (kind in ('award', 'bonus', 'adjust', 'redeem')),
    reason text constraint loyalty_transactions_reason_length check (char_length(reason) <= 1000),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint loyalty_transactions_sign_fits_kind check (
        kind = 'adjust' or (kind = 'redeem' and points < 0) or (kind in ('award', 'bonus') and points > 0)
    ),
    constraint loyalty_transactions_customer_id_entry_no_key unique (customer_id, entry_no),
    constraint loyalty_transactions_customer_id_fkey foreign key (customer_id) references public.customers (id) on delete cascade
);
alter table public.loyalty_transactions enable row level security;
revoke all on public.loyalty_transactions from public, anon, authenticated, service_role;

comment on table public.loyalty_transactions is 'The ledger: append only, also for the owner. A mistake is corrected by another entry.';
comment on column public.loyalty_transactions.id is 'May be supplied by the client.';
comment on column public.loyalty_transactions.customer_id is 'Whose points.';
comment on column public.loyalty_transactions.entry_no is 'Order within the customer, dense from 1; given by trigger.';
comment on column public.loyalty_transactions.points is 'Positive for award and bonus, negative for redeem, either for adjust; never 0.';
comment on column public.loyalty_transactions.balance_after is 'Balance after this entry, never below 0; given by trigger.';
comment on column public.loyalty_transactions.kind is 'award, bonus, adjust or redeem.';
comment on column public.loyalty_transactions.reason is 'What for, as the customer reads it.';
comment on column public.loyalty_transactions.created_at is 'Set by trigger.';
comment on column public.loyalty_transactions.updated_at is 'Same as created_at.';
comment on column public.loyalty_transactions.version is 'Always 1.';

create trigger z_version before insert or update on public.loyalty_accounts
for each row execute function private.touch_row();
