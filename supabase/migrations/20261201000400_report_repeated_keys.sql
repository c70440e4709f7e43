-- Purpose: two rows of one bulk_write with the same key are not both called created. Mode insert skipped the later one and reported it as
--          written; now such a request goes row by row, where the later row is unchanged. Mode save is as before: the later row wins.
-- Tables:  none.
-- Locks:   none.
-- Undo:    restore the body of 20261103000600.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.bulk_at_once(table_name text, rows jsonb, mode text)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    key text := private.key_column(table_name);
    written jsonb := '{}'::jsonb;
    part jsonb;
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
comment on function private.bulk_at_once(text, jsonb, text) is 'Writes all rows by a few statements; null, and nothing written, if any row is refused or two have the same key.';
