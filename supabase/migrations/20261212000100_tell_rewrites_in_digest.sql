-- Purpose: a column whose type changes keeps its name, and every row gets other values without a new version. The digest tells of
--          it: by the columns' types, and by the file that the rows are in, which is another one after every rewrite.
-- Tables:  reads the portal tables as the caller, pg_class and pg_attribute.
-- Locks:   none.
-- Undo:    restore private.portal_columns and private.portal_digest of 20261130000100; drop function private.portal_forms.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.portal_forms()
returns table (table_name text, columns text, form text)
language sql
stable
set search_path = ''
as $$
    -- In the order of the keys of a jsonb object: shorter ones first, then by bytes.
    -- A rewrite that changes no value (vacuum full, cluster) is told of as well: nothing here can know, and reading anew never hurts.
    select p.table_name,
        md5(string_agg(a.attname::text, ',' order by octet_length(a.attname::text), a.attname::text collate "C")),
        md5(c.relfilenode || string_agg(',' || a.attname || ':' || a.atttypid || ':' || a.atttypmod, '' order by a.attnum))
    from (
        values
        ('customers', 'public.customers'::regclass),
        ('jobs', 'public.jobs'::regclass),
        ('invoices', 'public.invoices'::regclass),
        ('messages', 'public.messages'::regclass),
        ('loyalty_transactions', 'public.loyalty_transactions'::regclass)
    ) as p (table_name, oid)
    join pg_catalog.pg_class as c on c.oid = p.oid
    join pg_catalog.pg_attribute as a on a.attrelid = p.oid
    where a.attnum > 0 and not a.attisdropped
    group by p.table_name, c.relfilenode;
$$;
comment on function private.portal_forms() is 'Per portal table: md5 of the column names, in the order of jsonb keys, and of what changes when its rows are rewritten.';
revoke execute on function private.portal_forms() from public;
grant execute on function private.portal_forms() to authenticated, service_role;

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
            'count', coalesce(h.total, 0), 'hash', lpad(to_hex(coalesce(h.hash, 0)), 15, '0'), 'columns', p.columns, 'form', p.form
        )
    )
    from private.portal_forms() as p
    left join hashed as h on h.table_name = p.table_name;
$$;
comment on function private.portal_digest(uuid) is
'Per portal table: count, XOR of the row hashes, md5 of the column names and of the form of the rows, of what the caller sees in this customer''s slice.';

drop function private.portal_columns();
