-- Purpose: a column that is added, renamed or dropped changes every row without changing a version. The digest names the columns,
--          so that a cache with rows of another shape notices at its next verification.
-- Tables:  reads the portal tables as the caller, and pg_attribute.
-- Locks:   none.
-- Undo:    restore private.portal_digest of 20261102001500; drop function private.portal_columns.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.portal_columns()
returns table (table_name text, columns text)
language sql
stable
set search_path = ''
as $$
    -- In the order of the keys of a jsonb object: shorter ones first, then by bytes.
    select p.table_name,
        md5(string_agg(a.attname::text, ',' order by octet_length(a.attname::text), a.attname::text collate "C"))
    from (
        values
        ('customers', 'public.customers'::regclass),
        ('jobs', 'public.jobs'::regclass),
        ('invoices', 'public.invoices'::regclass),
        ('messages', 'public.messages'::regclass),
        ('loyalty_transactions', 'public.loyalty_transactions'::regclass)
    ) as p (table_name, oid)
    join pg_catalog.pg_attribute as a on a.attrelid = p.oid
    where a.attnum > 0 and not a.attisdropped
    group by p.table_name;
$$;
comment on function private.portal_columns() is 'Per portal table: md5 of the column names, in the order of jsonb keys.';
revoke execute on function private.portal_columns() from public;
grant execute on function private.portal_columns() to authenticated, service_role;

create or replace function private.portal_digest(customer uuid)
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
    ), hashed as (
        -- As private.row_hash, which is not called here: half a thousand calls cost a millisecond.
        select s.table_name, count(*) as total,
            bit_xor(('x' || substr(md5(s.id::text || ':' || s.version::text), 1, 15))::bit(60)::bigint) as hash
        from seen as s
        group by s.table_name
    )
    select jsonb_object_agg(
        p.table_name,
        jsonb_build_object(
            'count', coalesce(h.total, 0), 'hash', lpad(to_hex(coalesce(h.hash, 0)), 15, '0'), 'columns', p.columns
        )
    )
    from private.portal_columns() as p
    left join hashed as h on h.table_name = p.table_name;
$$;
comment on function private.portal_digest(uuid) is 'Per portal table: count, XOR of the row hashes and md5 of the column names, of what the caller sees in this customer''s slice.';
