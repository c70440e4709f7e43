-- Purpose: put a row back to what it was after a change: a new, audited write with the caller's rights, within the state machines.
-- Tables:  the business tables at run time, as the caller.
-- Locks:   none.
-- Undo:    drop function public.restore_row, private.row_as_of, private.restore_columns, private.undelete,
--          private.write_columns;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.restore_columns(table_name text)
returns text[]
language sql
stable
set search_path = ''
as $$
    -- What staff may write at all. service_role could write more, but amounts, numbers and links are not to be turned back.
    select coalesce(array_agg(a.attname::text), '{}'::text[])
    from pg_catalog.pg_attribute as a
    where a.attrelid = format('public.%I', restore_columns.table_name)::regclass and a.attnum > 0 and not a.attisdropped
        and has_column_privilege('authenticated', a.attrelid, a.attnum, 'update')
        and a.attname <> all (array['created_at', 'updated_at', 'version', 'customer_id']);
$$;
comment on function private.restore_columns(text) is 'The columns of a table that a restore may write.';

create function private.row_as_of(table_name text, row_id uuid, change_id bigint, now_row jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
    then_row jsonb := now_row;
    step record;
begin
    if not exists (
        select from public.activity_log as l
        where l.id = change_id and l.table_name = row_as_of.table_name and l.row_id = row_as_of.row_id::text and l.op <> 'delete'
    ) then
        raise exception 'no such change of this row'
            using errcode = 'PT404', detail = format('%s: %s, change: %s', table_name, row_id, coalesce(change_id::text, 'null')),
                hint = 'Take an id of an insert or update from row_history.';
    end if;
    for step in
        select l.op, l.old from public.activity_log as l
        where l.table_name = row_as_of.table_name and l.row_id = row_as_of.row_id::text and l.id > change_id
        order by l.id desc
    loop
        if step.op <> 'update' then
            raise exception 'the row was deleted and made anew since that change'
                using errcode = 'check_violation', detail = format('change: %s', change_id), hint = 'Restore a later change.';
        end if;
        then_row := then_row || step.old;
    end loop;
    return then_row;
end;
$$;
comment on function private.row_as_of(text, uuid, bigint, jsonb) is 'The row as it was after a change of the log: now, with every later change taken back.';

create function private.undelete(table_name text, row_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform private.require_staff('restore rows');
    if table_name <> all (array['customers', 'jobs', 'messages', 'invoices']) then
        raise exception 'rows of % are not deleted', table_name using errcode = 'invalid_parameter_value', hint = 'Leave deleted_at alone.';
    end if;
    execute format('update public.%I as t set deleted_at = null where t.id = $1 and t.deleted_at is not null', table_name) using row_id;
end;
$$;
comment on function private.undelete(text, uuid) is 'Staff: takes a soft delete back.';

create function private.write_columns(table_name text, row_id uuid, version bigint, columns text[], wanted jsonb)
returns jsonb
language plpgsql
set search_path = ''
set timezone = 'UTC'
as $$
declare
    names text := (select string_agg(format('%I', c), ', ') from unnest(columns) as c);
    written jsonb;
begin
    execute format(
        'update public.%1$I as t set (%2$s) = (select %2$s from jsonb_populate_record(null::public.%1$I, $3))
        where t.%3$I = $1 and t.version = $2 returning to_jsonb(t)', table_name, names, private.key_column(table_name)
    ) into written using row_id, version, wanted;
    return written;
end;
$$;
comment on function private.write_columns(text, uuid, bigint, text[], jsonb) is 'Updates columns of one row as the caller, if it is at this version. Null when it is not, or may not be written.';

revoke execute on function private.restore_columns(text), private.row_as_of(text, uuid, bigint, jsonb), private.undelete(text, uuid),
    private.write_columns(text, uuid, bigint, text[], jsonb) from public;
grant execute on function private.restore_columns(text), private.row_as_of(text, uuid, bigint, jsonb), private.undelete(text, uuid),
    private.write_columns(text, uuid, bigint, text[], jsonb) to authenticated, service_role;
