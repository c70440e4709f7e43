-- Purpose: who changed what, when, and under which request: timeline, change history, merge and rollback read it.
-- Tables:  public.activity_log (new); triggers on the business tables.
-- Locks:   share row exclusive on each of them for an instant.
-- Undo:    drop the audit_* triggers; drop table public.activity_log; drop function private.audit_changes,
--          private.audit_values, private.refuse_log_change;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table public.activity_log (
    id bigint generated always as identity constraint activity_log_pkey primary key,
    table_name text not null,
    row_id text not null,
    customer_id uuid,
    op text not null constraint activity_log_op_known check (op in ('insert', 'update', 'delete')),
    old jsonb,
    new jsonb,
    row_version bigint,
    actor uuid,
    actor_kind text not null constraint activity_log_actor_kind_known check (actor_kind in ('staff', 'customer', 'service', 'system')),
    request_id text,
    at timestamptz not null default now()
);
alter table public.activity_log enable row level security;
revoke all on public.activity_log from public, anon, authenticated, service_role;

comment on table public.activity_log is 'Every change of a business row: changed fields, actor, request. Written by triggers only; read by staff.';
comment on column public.activity_log.id is 'Order of writing; not the order of commits.';
comment on column public.activity_log.table_name is 'Table in schema public.';
comment on column public.activity_log.row_id is 'Primary key of the row as text.';
comment on column public.activity_log.customer_id is 'The customer the row belongs to, or null (staff). No foreign key: the log outlives rows.';
comment on column public.activity_log.op is 'insert, update or delete.';
comment on column public.activity_log.old is 'Values before: the changed fields of an update, all of a deleted row.';
comment on column public.activity_log.new is 'Values after: the changed fields of an update, all that are not null of an inserted row.';
comment on column public.activity_log.row_version is 'version of the row after the change; of a deleted row, its last one.';
comment on column public.activity_log.actor is 'The signed-in user, or null.';
comment on column public.activity_log.actor_kind is 'staff, customer, service or system.';
comment on column public.activity_log.request_id is 'Idempotency-Key, else X-Request-Id of the API request.';
comment on column public.activity_log.at is 'Start of the transaction.';

create index activity_log_row_idx on public.activity_log (table_name, row_id, row_version);
create index activity_log_customer_id_idx on public.activity_log (customer_id, at desc, id desc);
create index activity_log_at_idx on public.activity_log (at desc, id desc);
create index activity_log_request_id_idx on public.activity_log (request_id) where request_id is not null;

create function private.audit_changes()
returns trigger
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
-- The plan is cached from statements of one row; joined in nested loops, 10,000 rows would take minutes.
set enable_nestloop = off
as $$
declare
    key_column text := tg_argv[0];
    customer_column text := nullif(tg_argv[1], '');
    hidden text[] := array['created_at', 'updated_at', 'version'];
    who uuid := private.current_uid();
    kind text := private.actor_kind();
    request text := private.request_id();
begin
    if tg_op = 'INSERT' then
        insert into public.activity_log (table_name, row_id, customer_id, op, new, row_version, actor, actor_kind, request_id)
        select tg_table_name, j.row ->> key_column, (j.row ->> customer_column)::uuid, 'insert',
            jsonb_strip_nulls(j.row - hidden), (j.row ->> 'version')::bigint, who, kind, request
        from (select to_jsonb(n) as row from new_rows as n) as j;
    elsif tg_op = 'DELETE' then
        insert into public.activity_log (table_name, row_id, customer_id, op, old, row_version, actor, actor_kind, request_id)
        select tg_table_name, j.row ->> key_column, (j.row ->> customer_column)::uuid, 'delete',
            jsonb_strip_nulls(j.row - hidden), (j.row ->> 'version')::bigint, who, kind, request
        from (select to_jsonb(o) as row from old_rows as o) as j
        -- Erasing a customer deletes by cascade: the log is not to keep what the tables forget.
        where customer_column is null
            or exists (select from public.customers as c where c.id = (j.row ->> customer_column)::uuid);
    else
        insert into public.activity_log (table_name, row_id, customer_id, op, old, new, row_version, actor, actor_kind, request_id)
        with b as materialized (
            select j.row ->> key_column as key, j.row from (select to_jsonb(o) as row from old_rows as o) as j
        ), a as materialized (
            select j.row ->> key_column as key, j.row from (select to_jsonb(n) as row from new_rows as n) as j
        )
        select tg_table_name, pair.after ->> key_column, (pair.after ->> customer_column)::uuid, 'update',
            changed.old, changed.new, (pair.after ->> 'version')::bigint, who, kind, request
        from (
            select b.row as before, a.row as after from b join a on a.key = b.key
        ) as pair
        cross join lateral (
            select jsonb_object_agg(f.key, pair.before -> f.key) as old, jsonb_object_agg(f.key, f.value) as new
            from jsonb_each(pair.after - hidden) as f
            where f.value is distinct from pair.before -> f.key
        ) as changed
        where changed.new is not null;
    end if;
    return null;
end;
$$;
comment on function private.audit_changes() is 'AFTER each statement, arguments: key column, customer column or empty. Writes one activity_log row per changed row.';
revoke execute on function private.audit_changes() from public;

create function private.refuse_log_change()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    raise exception 'activity_log is append only: no %', lower(tg_op)
        using errcode = 'insufficient_privilege', hint = 'Only erasing a customer removes that customer''s entries.';
end;
$$;
comment on function private.refuse_log_change() is 'BEFORE UPDATE OR TRUNCATE on activity_log: refuses, for the owner too.';
revoke execute on function private.refuse_log_change() from public;

create trigger a_append_only before update on public.activity_log
for each row execute function private.refuse_log_change();
create trigger a_no_truncate before truncate on public.activity_log
for each statement execute function private.refuse_log_change();
