-- Purpose: soft delete that honours the version its caller saw, and answers with the row.
-- Tables:  customers, jobs, messages, invoices at run time, as the caller; the delete itself is private.soft_delete.
-- Locks:   none.
-- Undo:    drop function public.delete_row;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function public.delete_row(table_name text, row_id uuid, expected_version bigint default null)
returns jsonb
language plpgsql
set search_path = ''
set timezone = 'UTC'
as $$
declare
    found_row jsonb;
begin
    if expected_version is not null then
        if table_name is null or table_name <> all (array['customers', 'jobs', 'messages', 'invoices']) then
            raise exception 'delete_row does not know the table %', coalesce(left(table_name, 63), 'null')
                using errcode = 'invalid_parameter_value', hint = 'customers, jobs, messages or invoices.';
        end if;
        execute format('select to_jsonb(t) from public.%I as t where t.id = $1 for update', table_name) into found_row using row_id;
        if found_row is null then
            perform private.raise_no_row(table_name, row_id);
        elsif (found_row ->> 'version')::bigint <> expected_version and found_row ->> 'deleted_at' is null then
            raise exception 'the row has changed since version %', expected_version
                using errcode = 'PS003', detail = format('current version: %s', found_row ->> 'version'), hint = 'Read it again and decide.';
        end if;
    end if;
    perform private.soft_delete(table_name, row_id);
    return private.current_row(table_name, row_id);
end;
$$;
comment on function public.delete_row(text, uuid, bigint) is 'Staff: soft delete, if the row is still at this version (null: whatever it is). Returns the row; PS003 when it has changed.';
revoke execute on function public.delete_row(text, uuid, bigint) from public, anon;
grant execute on function public.delete_row(text, uuid, bigint) to authenticated, service_role;
