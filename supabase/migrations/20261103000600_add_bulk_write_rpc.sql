-- Purpose: up to 1,000 rows in one call, with a report per row; all or nothing on request.
-- Tables:  the business tables at run time, as the caller.
-- Locks:   none.
-- Undo:    drop function public.bulk_write, private.bulk_at_once;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.bulk_at_once(table_name text, rows jsonb, mode text)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    key text := private.key_column(table_name);
    written jsonb := '{}'::jsonb;
    part jsonb;
begin
    if table_name = 'invoices' then
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
    return (
        select jsonb_agg(private.bulk_result(e.ordinality - 1, e.value ->> key, written -> (e.value ->> key)) order by e.ordinality)
        from jsonb_array_elements(rows) with ordinality as e
    );
exception
    when sqlstate 'PS001' or sqlstate 'PS002' or query_canceled then
        raise;
    when others then
        return null;
end;
$$;
comment on function private.bulk_at_once(text, jsonb, text) is 'Writes all rows by a few statements; null, and nothing written, if any row is refused.';
revoke execute on function private.bulk_at_once(text, jsonb, text) from public;
grant execute on function private.bulk_at_once(text, jsonb, text) to authenticated, service_role;

create function public.bulk_write(table_name text, rows jsonb, atomic boolean default false, mode text default 'insert')
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    results jsonb := '[]'::jsonb;
    known text[] := array['customers', 'jobs', 'invoices', 'messages', 'loyalty_transactions', 'leads', 'lead_notes', 'calls'];
begin
    if table_name is null or table_name <> all (known) then
        raise exception 'bulk_write does not know the table %', coalesce(left(table_name, 63), 'null')
            using errcode = 'invalid_parameter_value', hint = format('One of %s.', array_to_string(known, ', '));
    elsif mode is null or mode <> all (array['insert', 'save']) then
        raise exception 'malformed mode' using errcode = 'invalid_parameter_value', hint = 'insert or save.';
    elsif rows is null or jsonb_typeof(rows) <> 'array' or jsonb_array_length(rows) > 1000
        or exists (select from jsonb_array_elements(rows) as e where jsonb_typeof(e.value) <> 'object' or e.value ->> private.key_column(table_name) is null) then
        raise exception 'rows must be a JSON array of at most 1000 objects with their keys' using errcode = 'invalid_parameter_value';
    end if;
    results := coalesce(private.bulk_at_once(table_name, rows, mode), '[]'::jsonb);
    if results = '[]'::jsonb then
        begin
            results := private.bulk_rows(table_name, rows, mode);
            if atomic and results @> '[{"status": "failed"}]' then
                raise exception 'undone' using errcode = 'PS004';
            end if;
        exception
            when sqlstate 'PS004' then
                select jsonb_agg(case when e.value ->> 'status' = 'failed' then e.value
                    else e.value || '{"status": "undone", "version": null}'::jsonb end order by e.ordinality)
                into results from jsonb_array_elements(results) with ordinality as e;
        end;
    end if;
    return results;
end;
$$;
comment on function public.bulk_write(text, jsonb, boolean, text) is 'Insert rows, or with mode save insert and update them. Returns per row index, id, status (created, updated, unchanged, failed, undone), version, and code, message, hint of a refusal.';
revoke execute on function public.bulk_write(text, jsonb, boolean, text) from public, anon;
grant execute on function public.bulk_write(text, jsonb, boolean, text) to authenticated, service_role;
