-- Purpose: what the portal RPCs share: checking a scope, its head as the caller may see it, the digest, the rows.
-- Tables:  reads the portal tables and public.sync_scopes as the caller.
-- Locks:   none.
-- Undo:    drop function private.scope_customer, private.scope_head, private.row_hash, private.portal_digest,
--          private.portal_tables;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.scope_customer(scope text)
returns uuid
language plpgsql
immutable
set search_path = ''
as $$
begin
    if scope is null or scope !~ '^customer:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        raise exception 'malformed scope'
            using errcode = 'invalid_parameter_value',
                detail = format('scope: %s', left(coalesce(scope, 'null'), 100)),
                hint = 'A scope is customer:<uuid>, in lower case.';
    end if;
    return substr(scope, 10)::uuid;
end;
$$;
comment on function private.scope_customer(text) is 'The customer a scope belongs to. Raises 22023 for anything that is no scope.';

create function private.scope_head(scope text)
returns public.sync_scopes
language plpgsql
stable
set search_path = ''
as $$
declare
    head public.sync_scopes;
begin
    select s.* into head from public.sync_scopes as s where s.scope = scope_head.scope;
    if not found then
        raise exception 'no such scope for this caller'
            using errcode = 'insufficient_privilege',
                detail = format('scope: %s', scope),
                hint = 'Sign in as the customer of this scope, or as staff.';
    end if;
    return head;
end;
$$;
comment on function private.scope_head(text) is 'Head of a scope as the caller may see it. Raises 42501 when there is none.';

create function private.row_hash(id uuid, version bigint)
returns bigint
language sql
immutable
set search_path = ''
as $$
    select ('x' || substr(md5(id::text || ':' || version::text), 1, 15))::bit(60)::bigint;
$$;
comment on function private.row_hash(uuid, bigint) is 'First 60 bits of md5(<id>:<version>).';

create function private.portal_digest(customer uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
    with seen as (
        select 'customers' as table_name, t.id, t.version
        from public.customers as t
        where t.id = customer and t.deleted_at is null
        union all
        select 'jobs', t.id, t.version
        from public.jobs as t
        where t.customer_id = customer and t.deleted_at is null
        union all
        select 'invoices', t.id, t.version
        from public.invoices as t
        where t.customer_id = customer and t.deleted_at is null and t.status <> 'draft'
        union all
        select 'messages', t.id, t.version
        from public.messages as t
        where t.customer_id = customer and t.deleted_at is null
        union all
        select 'loyalty_transactions', t.id, t.version
        from public.loyalty_transactions as t
        where t.customer_id = customer
    )
    select jsonb_object_agg(
        p.table_name,
        (
            select jsonb_build_object(
                'count', count(*),
                'hash', lpad(to_hex(coalesce(bit_xor(private.row_hash(s.id, s.version)), 0)), 15, '0')
            )
            from seen as s
            where s.table_name = p.table_name
        )
    )
    from unnest(array['customers', 'jobs', 'invoices', 'messages', 'loyalty_transactions']) as p (table_name);
$$;
comment on function private.portal_digest(uuid) is 'Per portal table: count, and XOR of the row hashes, of what the caller sees in this customer''s slice.';

create function private.portal_tables(customer uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select jsonb_build_object(
        'customers', coalesce((
            select jsonb_agg(to_jsonb(t) order by t.id) from public.customers as t
            where t.id = customer and t.deleted_at is null), '[]'::jsonb),
        'jobs', coalesce((
            select jsonb_agg(to_jsonb(t) order by t.created_at, t.id) from public.jobs as t
            where t.customer_id = customer and t.deleted_at is null), '[]'::jsonb),
        'invoices', coalesce((
            select jsonb_agg(to_jsonb(t) order by t.created_at, t.id) from public.invoices as t
            where t.customer_id = customer and t.deleted_at is null and t.status <> 'draft'), '[]'::jsonb),
        'messages', coalesce((
            select jsonb_agg(to_jsonb(t) order by t.created_at, t.id) from public.messages as t
            where t.customer_id = customer and t.deleted_at is null), '[]'::jsonb),
        'loyalty_transactions', coalesce((
            select jsonb_agg(to_jsonb(t) order by t.entry_no) from public.loyalty_transactions as t
            where t.customer_id = customer), '[]'::jsonb)
    );
$$;
comment on function private.portal_tables(uuid) is 'The rows of this customer''s slice that the caller sees, per portal table.';

revoke execute on function private.scope_customer(text), private.scope_head(text), private.row_hash(uuid, bigint),
    private.portal_digest(uuid), private.portal_tables(uuid) from public;
grant execute on function private.scope_customer(text), private.scope_head(text), private.row_hash(uuid, bigint),
    private.portal_digest(uuid), private.portal_tables(uuid) to authenticated, service_role;
