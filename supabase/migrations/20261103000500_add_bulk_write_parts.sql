-- Purpose: parts of bulk_write: how one group of rows is inserted or saved, all at once or row by row.
-- Tables:  the business tables at run time, as the caller.
-- Locks:   none.
-- Undo:    drop function private.bulk_group, private.bulk_rows, private.bulk_one;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.bulk_group(table_name text, rows jsonb, mode text)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    key text := private.key_column(table_name);
    names text[];
    settable text[];
    written jsonb;
    conflict text := 'do nothing';
begin
    select array_agg(k order by k) into names from jsonb_object_keys(rows -> 0) as k;
    -- Saving again neither takes a row away from somebody nor turns back what has happened to a job.
    settable := array(select n from unnest(names) as n
        where n <> all (array[key, 'customer_id', 'id', 'assigned_to']) and not (table_name = 'jobs' and n = 'status'));
    if mode = 'save' and settable <> '{}' then
        select format('do update set %s where (%s) is distinct from (%s)', string_agg(format('%1$I = excluded.%1$I', n), ', '),
            string_agg(format('t.%I', n), ', '), string_agg(format('excluded.%I', n), ', '))
        into conflict from unnest(settable) as n;
    end if;
    execute format(
        'with written as (
            insert into public.%1$I as t (%2$s) select %2$s from jsonb_populate_recordset(null::public.%1$I, $1)
            on conflict (%3$I) %4$s returning t.%3$I as row_id, t.version
        ) select coalesce(jsonb_object_agg(w.row_id, w.version), ''{}''::jsonb) from written as w',
        table_name, (select string_agg(format('%I', n), ', ') from unnest(names) as n), key, conflict
    ) into written using rows;
    return written;
end;
$$;
comment on function private.bulk_group(text, jsonb, text) is 'Inserts (mode insert) or inserts and updates (mode save) rows that have the same keys. Returns {id: version} of what was written.';

create function private.bulk_one(table_name text, "row" jsonb, mode text)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    made public.invoices;
begin
    if table_name <> 'invoices' then
        return private.bulk_group(table_name, jsonb_build_array("row"), mode);
    elsif exists (select from public.invoices as i where i.id = ("row" ->> 'id')::uuid) then
        return '{}'::jsonb;
    end if;
    made := public.create_invoice("row" - 'items', "row" -> 'items');
    return jsonb_build_object(made.id, made.version);
end;
$$;
comment on function private.bulk_one(text, jsonb, text) is 'Writes one row; invoices with their items.';

create function private.bulk_rows(table_name text, rows jsonb, mode text)
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
comment on function private.bulk_rows(text, jsonb, text) is 'Writes row by row, each in a savepoint of its own, and reports on each.';

create function private.bulk_result(index bigint, id text, version jsonb)
returns jsonb
language sql
immutable
set search_path = ''
as $$
    select jsonb_build_object(
        'index', index, 'id', id, 'version', version,
        'status', case when version is null then 'unchanged' when version = '1'::jsonb then 'created' else 'updated' end
    );
$$;
comment on function private.bulk_result(bigint, text, jsonb) is 'Report on one row that was not refused; version is null if nothing was written.';

revoke execute on function private.bulk_group(text, jsonb, text), private.bulk_one(text, jsonb, text),
    private.bulk_rows(text, jsonb, text), private.bulk_result(bigint, text, jsonb) from public;
grant execute on function private.bulk_group(text, jsonb, text), private.bulk_one(text, jsonb, text),
    private.bulk_rows(text, jsonb, text), private.bulk_result(bigint, text, jsonb) to authenticated, service_role;
