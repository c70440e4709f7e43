-- Purpose: allow-list guards. A customer may write only the columns named here; a column added later is protected by default.
-- Tables:  public.customers (triggers); others attach the functions in their own migration.
-- Locks:   share row exclusive on public.customers for an instant.
-- Undo:    drop trigger a_guard_customer on public.customers; drop function private.guard_customer_write, private.keep_customer;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.guard_customer_write()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    kept text[] := private.generated_columns(tg_relid) || array['created_at', 'updated_at', 'version'] || tg_argv[0:];
    before jsonb := '{}'::jsonb;
    refused text;
begin
    -- Definer RPCs run as the owner and pass; so do imports. Staff are limited by policies and column grants.
    if current_user <> 'authenticated' or private.is_staff() then
        return new;
    end if;
    if tg_op = 'UPDATE' then
        before := to_jsonb(old);
    end if;
    select string_agg(field.key, ', ' order by field.key) into refused
    from jsonb_each(to_jsonb(new) - kept) as field
    where field.value is distinct from coalesce(before -> field.key, 'null'::jsonb);
    if refused is not null then
        raise exception 'a customer may not set %.%', tg_table_name, refused
            using errcode = 'insufficient_privilege',
                detail = format('refused: %s', refused),
                hint = format('A customer may set: %s.', array_to_string(tg_argv[0:], ', '));
    end if;
    return new;
end;
$$;
comment on function private.guard_customer_write() is 'BEFORE INSERT OR UPDATE, arguments: the columns a customer may write. Refuses any other value with 42501 and names the columns.';
revoke execute on function private.guard_customer_write() from public;

create function private.keep_customer()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if current_user in ('anon', 'authenticated', 'service_role') and new.customer_id is distinct from old.customer_id then
        raise exception '%.customer_id cannot be changed', tg_table_name
            using errcode = 'insufficient_privilege',
                hint = 'Staff move jobs and invoices with the RPC move_to_customer.';
    end if;
    return new;
end;
$$;
comment on function private.keep_customer() is 'BEFORE UPDATE: customer_id is immutable for API callers; only the RPC that moves a row changes it.';
revoke execute on function private.keep_customer() from public;

create trigger a_guard_customer before update on public.customers
for each row execute function private.guard_customer_write('name', 'email', 'phone', 'address', 'preferences');
