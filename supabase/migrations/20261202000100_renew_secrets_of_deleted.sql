-- Purpose: encrypted facts about deleted customers can be renewed, too. They were listed as to be renewed and then refused, so that a
--          re-encryption never came to its end and the old key could never leave. Customers may be restored, so the facts are kept.
-- Tables:  public.customer_secrets at run time.
-- Locks:   none.
-- Undo:    restore the body of 20261129000600.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.set_customer_secret(customer_id uuid, name text, value text, expected_version bigint)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
as $$
#variable_conflict use_column
declare
    held public.customer_secrets;
    renews boolean;
begin
    perform private.require_staff('write secrets of customers');
    select s.* into held from public.customer_secrets as s
    where s.customer_id = set_customer_secret.customer_id and s.name = set_customer_secret.name for update;
    -- Of a deleted customer nothing is added, removed or changed by agents; what is there may get another key.
    renews := held.value is not null and set_customer_secret.value is not null and private.is_admin();
    if not exists (select from public.customers as c where c.id = set_customer_secret.customer_id and (c.deleted_at is null or renews)) then
        perform private.raise_no_row('customers', set_customer_secret.customer_id);
    end if;
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
