-- Purpose: the change feed. One dense counter per scope (a viewer's slice), taken at commit, and the log behind it.
-- Tables:  public.sync_scopes, public.sync_changes, private.sync_pending, private.sync_tickets (new).
-- Locks:   none on existing tables.
-- Undo:    drop table public.sync_changes, public.sync_scopes, private.sync_pending, private.sync_tickets;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table public.sync_scopes (
    scope text not null constraint sync_scopes_pkey primary key,
    epoch uuid not null default gen_random_uuid(),
    n bigint not null default 0,
    floor bigint not null default 0,
    constraint sync_scopes_floor_within check (floor between 0 and n)
) with (fillfactor = 50);
alter table public.sync_scopes enable row level security;
revoke all on public.sync_scopes from public, anon, authenticated, service_role;

comment on table public.sync_scopes is 'Head of the change feed per scope. Written by the feed only.';
comment on column public.sync_scopes.scope is 'A viewer''s slice, for example customer:<uuid>; also the Realtime topic of its doorbell.';
comment on column public.sync_scopes.epoch is 'Changes when continuity is broken; a cursor of another epoch must resync.';
comment on column public.sync_scopes.n is 'Number of the newest change.';
comment on column public.sync_scopes.floor is 'Changes up to and including this number are gone; a cursor below it must resync.';

create table public.sync_changes (
    scope text not null,
    n bigint not null,
    table_name text not null,
    row_id uuid not null,
    op text not null constraint sync_changes_op_known check (op in ('upsert', 'remove')),
    version bigint not null,
    "row" jsonb,
    request_id text,
    committed_at timestamptz not null,
    constraint sync_changes_pkey primary key (scope, n),
    constraint sync_changes_remove_has_no_row check (op = 'upsert' or "row" is null)
);
alter table public.sync_changes enable row level security;
revoke all on public.sync_changes from public, anon, authenticated, service_role;

comment on table public.sync_changes is 'The change log. n is dense per scope and in commit order. No foreign key to sync_scopes: the flush holds its row lock.';
comment on column public.sync_changes.scope is 'Whose slice changed.';
comment on column public.sync_changes.n is 'last + 1 for every change; a rollback gives the number back.';
comment on column public.sync_changes.table_name is 'Portal table.';
comment on column public.sync_changes.row_id is 'Primary key of the row.';
comment on column public.sync_changes.op is 'upsert, or remove when the row left the slice.';
comment on column public.sync_changes.version is 'version of the row; of a hard-deleted row, its last one plus 1.';
comment on column public.sync_changes."row" is 'The row as the customer may see it. Null for remove, and for an upsert blanked because the row left the slice later.';
comment on column public.sync_changes.request_id is 'Request that caused the change, so that its author recognises it.';
comment on column public.sync_changes.committed_at is 'Database clock at commit.';

-- Serves the blanking of a row that leaves a scope; blanked and removed entries drop out of it.
create index sync_changes_payload_idx on public.sync_changes (row_id) where "row" is not null;
-- Serves retention.
create index sync_changes_committed_at_idx on public.sync_changes using brin (committed_at);

-- Rows of these two live only inside one transaction, so they need no WAL.
create unlogged table private.sync_pending (
    txid xid8 not null,
    seq bigint generated always as identity,
    scope text not null,
    table_name text not null,
    row_id uuid not null,
    op text not null constraint sync_pending_op_known check (op in ('upsert', 'remove', 'erase')),
    version bigint not null,
    "row" jsonb,
    constraint sync_pending_pkey primary key (txid, seq)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
alter table private.sync_pending enable row level security;

comment on table private.sync_pending is 'Changes of the transactions that are running; emptied at their commit.';
comment on column private.sync_pending.txid is 'The transaction.';
comment on column private.sync_pending.seq is 'Order within the transaction.';
comment on column private.sync_pending.scope is 'As in sync_changes.';
comment on column private.sync_pending.table_name is 'As in sync_changes.';
comment on column private.sync_pending.row_id is 'As in sync_changes.';
comment on column private.sync_pending.op is 'upsert, remove, or erase: the customer of this scope is gone.';
comment on column private.sync_pending.version is 'As in sync_changes.';
comment on column private.sync_pending."row" is 'As in sync_changes.';

create unlogged table private.sync_tickets (
    txid xid8 not null constraint sync_tickets_pkey primary key,
    first_seq bigint not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
alter table private.sync_tickets enable row level security;

comment on table private.sync_tickets is 'One row per transaction that has pending changes. Its deferred trigger flushes them once, at commit.';
comment on column private.sync_tickets.txid is 'The transaction.';
comment on column private.sync_tickets.first_seq is 'No pending change of this ticket has a smaller seq, so a flush skips what an earlier one already took.';
