-- Purpose: sensitive facts about a customer (a gate code), encrypted by the application; the database never sees plain text or key.
-- Tables:  public.customer_secrets (new); public.activity_log learns the op read.
-- Locks:   access exclusive on activity_log for an instant; its rows are checked by the next migration.
-- Undo:    drop table public.customer_secrets; drop function private.audit_secret.
set lock_timeout = '2s';
set statement_timeout = '60s';

create table public.customer_secrets (
    customer_id uuid not null,
    name text not null constraint customer_secrets_name_format check (name ~ '^[a-z][a-z0-9_]{0,39}$'),
    value text constraint customer_secrets_value_encrypted check (
        value ~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{38,}$' and char_length(value) <= 20000
    ),
    key_id text generated always as (split_part(value, '.', 2)) stored,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint customer_secrets_pkey primary key (customer_id, name),
    constraint customer_secrets_customer_id_fkey foreign key (customer_id) references public.customers (id) on delete cascade
);
comment on table public.customer_secrets is 'Sensitive facts about customers, encrypted by the application. Staff only, outside feed and publication; every read is in the log.';
comment on column public.customer_secrets.customer_id is 'Whom it is about.';
comment on column public.customer_secrets.name is 'What it is, such as gate_code: lower case letters, digits and underscores.';
comment on column public.customer_secrets.value is 'v1.<key id>.<nonce and cipher text in base64url>; anything else is refused. Null when it was removed.';
comment on column public.customer_secrets.key_id is 'The key it is encrypted with, so that values of an old key are found.';
comment on column public.customer_secrets.created_at is 'Set by trigger.';
comment on column public.customer_secrets.updated_at is 'Set by trigger when something changed.';
comment on column public.customer_secrets.version is 'Raised by trigger when something changed.';
create index customer_secrets_key_id_idx on public.customer_secrets (key_id, customer_id, name) where value is not null;

-- The next line puts a wider one in its place.
-- squawk-ignore ban-drop-constraint
alter table public.activity_log drop constraint activity_log_op_known;
alter table public.activity_log add constraint activity_log_op_known check (op in ('insert', 'update', 'delete', 'read')) not valid;
comment on column public.activity_log.op is 'insert, update, delete; read of an encrypted value.';

create function private.audit_secret()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    held public.customer_secrets := coalesce(new, old);
    before jsonb;
    after jsonb;
begin
    if tg_op = 'UPDATE' and new.value is not distinct from old.value then
        return null;
    elsif tg_op = 'DELETE' and not exists (select from public.customers as c where c.id = old.customer_id) then
        -- Erasing a customer: the log is not to keep what the tables forget.
        return null;
    end if;
    if tg_op <> 'INSERT' then
        before := jsonb_build_object('value', case when old.value is not null then '[encrypted]' end, 'key_id', old.key_id);
    end if;
    if tg_op <> 'DELETE' then
        after := jsonb_build_object('value', case when new.value is not null then '[encrypted]' end, 'key_id', new.key_id);
    end if;
    insert into public.activity_log (table_name, row_id, customer_id, op, old, new, row_version, actor, actor_kind, request_id)
    values ('customer_secrets', held.customer_id || '/' || held.name, held.customer_id, lower(tg_op), before, after, held.version,
        private.current_uid(), private.actor_kind(), private.request_id());
    return null;
end;
$$;
comment on function private.audit_secret() is 'AFTER each row: one activity_log entry that says that the value changed, never to what.';
revoke execute on function private.audit_secret() from public;

create trigger a_claim_request before insert or update on public.customer_secrets
for each row when (current_setting('request.headers', true) like '%"x-request-fingerprint"%') execute function private.claim_request();
create trigger z_version before insert or update on public.customer_secrets
for each row execute function private.touch_row();
create trigger audit_secret after insert or update or delete on public.customer_secrets
for each row execute function private.audit_secret();

alter table public.customer_secrets enable row level security;
revoke all on public.customer_secrets from public, anon, authenticated, service_role;

grant select (customer_id, name, key_id, created_at, updated_at, version) on public.customer_secrets to authenticated;
grant select (customer_id, name, key_id, created_at, updated_at, version) on public.customer_secrets to service_role;

drop policy if exists "staff see which secrets there are" on public.customer_secrets;
create policy "staff see which secrets there are" on public.customer_secrets
for select to authenticated
using (
    (select private.is_staff())
);
