-- Purpose: a row of a bulk_write whose id belongs to a row with other content is refused, as the single call does. It was reported as
--          unchanged. A row that is as it was, or was made so, is unchanged as before: that is how a request is repeated.
-- Tables:  the business tables and public.activity_log at run time, as the caller.
-- Locks:   none.
-- Undo:    drop function private.bulk_is_same; restore the bodies of 20261201000400 and 20261103000500.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.bulk_is_same(table_name text, "row" jsonb)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
    same boolean;
begin
    -- Compared as values: the given columns laid over the row as it is, and as it was made, must change nothing.
    execute format(
        'select coalesce(bool_or(jsonb_populate_record(b.base, $1) is not distinct from b.base), false)
        from (
            select t as base from public.%1$I as t where t.%2$I = ($1 ->> %2$L)::uuid
            union all
            select jsonb_populate_record(null::public.%1$I, l.new) from public.activity_log as l
            where l.table_name = %1$L and l.row_id = $1 ->> %2$L and l.op = ''insert''
        ) as b',
        table_name, private.key_column(table_name)
    ) into same using "row";
    return same;
end;
$$;
comment on function private.bulk_is_same(text, jsonb) is 'Is there a row with this key that is as given, or was made as given, and that the caller may see? Items of invoices are not compared.';
revoke execute on function private.bulk_is_same(text, jsonb) from public;
grant execute on function private.bulk_is_same(text, jsonb) to authenticated, service_role;

create or replace function private.bulk_at_once(table_name text, rows jsonb, mode text)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    key text := private.key_column(table_name);
    written jsonb := '{}'::jsonb;
    part jsonb;
    results jsonb;
begin
    if table_name = 'invoices'
        or (select count(distinct e.value ->> key) < count(*) from jsonb_array_elements(rows) as e) then
        return null;
    end if;
    -- Rows that name the same columns share a statement, so that columns left out get their defaults.
    for part in
        select jsonb_agg(g.value order by g.ordinality)
        from (
            select e.value, e.ordinality, (select array_agg(k order by k) from jsonb_object_keys(e.value) as k) as names
            from jsonb_array_elements(rows) with ordinality as e
        ) as g
        group by g.names order by min(g.ordinality)
    loop
        written := written || private.bulk_group(table_name, part, mode);
    end loop;
    select jsonb_agg(private.bulk_result(e.ordinality - 1, e.value ->> key, written -> (e.value ->> key)) order by e.ordinality) into results
    from jsonb_array_elements(rows) with ordinality as e;
    if mode = 'insert' and exists (
        select from jsonb_array_elements(results) as r
        where r.value ->> 'status' = 'unchanged' and not private.bulk_is_same(table_name, rows -> (r.value ->> 'index')::integer)
    ) then
        -- Row by row, so that this one is refused by name.
        raise exception 'a key belongs to a row with other content'
            using errcode = 'unique_violation', detail = format('table: %s', table_name), hint = 'Choose a new one for a new row.';
    end if;
    return results;
exception
    when sqlstate 'PS001' or sqlstate 'PS002' or query_canceled then
        raise;
    when others then
        return null;
end;
$$;

create or replace function private.bulk_rows(table_name text, rows jsonb, mode text)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    key text := private.key_column(table_name);
    entry record;
    written jsonb;
    results jsonb := '[]'::jsonb;
    said text;
    hinted text;
begin
    for entry in select e.value as row, e.ordinality - 1 as index from jsonb_array_elements(rows) with ordinality as e loop
        begin
            written := private.bulk_one(table_name, entry.row, mode);
            written := private.bulk_result(entry.index, entry.row ->> key, written -> (entry.row ->> key));
            if table_name = 'invoices' and written ->> 'status' = 'updated' then
                -- A new invoice is at a later version already: its items have raised it.
                written := written || '{"status": "created"}'::jsonb;
            end if;
            if mode = 'insert' and written ->> 'status' = 'unchanged' and not private.bulk_is_same(table_name, entry.row) then
                raise exception 'the % belongs to a row with other content', key
                    using errcode = 'unique_violation', detail = format('%s: %s', key, entry.row ->> key), hint = 'Choose a new one for a new row.';
            end if;
            results := results || written;
        exception
            when sqlstate 'PS001' or sqlstate 'PS002' or query_canceled then
                raise;
            when others then
                get stacked diagnostics said = message_text, hinted = pg_exception_hint;
                results := results || jsonb_build_object('index', entry.index, 'id', entry.row ->> key, 'status', 'failed',
                    'version', null, 'code', sqlstate, 'message', said, 'hint', hinted);
        end;
    end loop;
    return results;
end;
$$;
