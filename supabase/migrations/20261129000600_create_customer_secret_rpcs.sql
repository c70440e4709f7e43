-- Purpose: write, read and renew encrypted facts about customers. Reading one is noted in the log, in the same transaction.
-- Tables:  public.customer_secrets, public.activity_log at run time.
-- Locks:   none.
-- Undo:    drop function public.set_customer_secret, public.read_customer_secret, public.customer_secrets_to_renew,
--          private.set_customer_secret, private.read_customer_secret, private.customer_secrets_to_renew;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.set_customer_secret(customer_id uuid, name text, value text, expected_version bigint)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
as $$
#variable_conflict use_column
declare
    held public.customer_secrets;
begin
    perform private.require_staff('write secrets of customers');
    if not exists (select from public.customers as c where c.id = set_customer_secret.customer_id and c.deleted_at is null) then
        perform private.raise_no_row('customers', set_customer_secret.customer_id);
    end if;
    select s.* into held from public.customer_secrets as s
    where s.customer_id = set_customer_secret.customer_id and s.name = set_customer_secret.name for update;
    if expected_version is not null and expected_version <> coalesce(held.version, 0) then
        raise exception 'the value has changed since version %', expected_version
            using errcode = 'PS003', detail = format('current version: %s', coalesce(held.version, 0)), hint = 'Read it again and decide.';
    elsif held.value is null and set_customer_secret.value is null then
        raise exception 'no such value' using errcode = 'PT404', hint = 'Check the name.';
    end if;
    insert into public.customer_secrets as s (customer_id, name, value)
    values (set_customer_secret.customer_id, set_customer_secret.name, set_customer_secret.value)
    on conflict on constraint customer_secrets_pkey do update set value = excluded.value
    returning s.* into held;
    return to_jsonb(held) - 'value';
end;
$$;
comment on function private.set_customer_secret(uuid, text, text, bigint) is 'Checked work of public.set_customer_secret.';

create function private.read_customer_secret(customer_id uuid, name text)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
as $$
#variable_conflict use_column
declare
    held public.customer_secrets;
begin
    perform private.require_staff('read secrets of customers');
    select s.* into held from public.customer_secrets as s
    where s.customer_id = read_customer_secret.customer_id and s.name = read_customer_secret.name and s.value is not null;
    if not found then
        raise exception 'no such value' using errcode = 'PT404', hint = 'Check customer and name.';
    end if;
    insert into public.activity_log (table_name, row_id, customer_id, op, row_version, actor, actor_kind, request_id)
    values ('customer_secrets', held.customer_id || '/' || held.name, held.customer_id, 'read', held.version,
        private.current_uid(), private.actor_kind(), private.request_id());
    return to_jsonb(held);
end;
$$;
comment on function private.read_customer_secret(uuid, text) is 'Checked work of public.read_customer_secret.';

create function private.customer_secrets_to_renew(key_id text, max_rows integer)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    if current_setting('role', true) = 'authenticated' and not private.is_admin() then
        raise exception 'only admins renew the encryption' using errcode = 'insufficient_privilege', hint = 'Ask an admin.';
    end if;
    return coalesce((
        select jsonb_agg(jsonb_build_object('customer_id', o.customer_id, 'name', o.name, 'value', o.value, 'version', o.version))
        from (
            select s.* from public.customer_secrets as s
            where s.value is not null and s.key_id <> customer_secrets_to_renew.key_id
            order by s.customer_id, s.name limit least(max_rows, 1000)
        ) as o
    ), '[]'::jsonb);
end;
$$;
comment on function private.customer_secrets_to_renew(text, integer) is 'Checked work of public.customer_secrets_to_renew.';

create function public.set_customer_secret(customer_id uuid, name text, value text default null, expected_version bigint default null)
returns jsonb
language sql
set search_path = ''
as $$
    select private.set_customer_secret(customer_id, name, value, expected_version);
$$;
comment on function public.set_customer_secret(uuid, text, text, bigint) is 'Staff: keep an encrypted value (null removes it), if it is at this version (0: there is none; null: whatever it is). Returns the row without the value; PS003 when it has changed.';

create function public.read_customer_secret(customer_id uuid, name text)
returns jsonb
language sql
set search_path = ''
as $$
    select private.read_customer_secret(customer_id, name);
$$;
comment on function public.read_customer_secret(uuid, text) is 'Staff: the row with its encrypted value. The log notes who read it, when, under which request.';

create function public.customer_secrets_to_renew(key_id text, max_rows integer default 500)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select private.customer_secrets_to_renew(key_id, max_rows);
$$;
comment on function public.customer_secrets_to_renew(text, integer) is 'Admins: up to 1,000 encrypted values whose key is not this one: customer_id, name, value, version.';

revoke execute on function private.set_customer_secret(uuid, text, text, bigint), private.read_customer_secret(uuid, text),
    private.customer_secrets_to_renew(text, integer) from public;
grant execute on function private.set_customer_secret(uuid, text, text, bigint), private.read_customer_secret(uuid, text),
    private.customer_secrets_to_renew(text, integer) to authenticated;
revoke execute on function public.set_customer_secret(uuid, text, text, bigint), public.read_customer_secret(uuid, text),
    public.customer_secrets_to_renew(text, integer) from public, anon;
grant execute on function public.set_customer_secret(uuid, text, text, bigint), public.read_customer_secret(uuid, text),
    public.customer_secrets_to_renew(text, integer) to authenticated;
