-- Purpose: the digest hashes its rows in one pass and without a function call per row.
-- Tables:  reads the portal tables as the caller.
-- Locks:   none.
-- Undo:    restore the body of 20261101002400.
set lock_timeout = '2s';
set statement_timeout = '60s';

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
        jsonb_build_object('count', coalesce(h.total, 0), 'hash', lpad(to_hex(coalesce(h.hash, 0)), 15, '0'))
    )
    from unnest(array['customers', 'jobs', 'invoices', 'messages', 'loyalty_transactions']) as p (table_name)
    left join hashed as h on h.table_name = p.table_name;
$$;
