-- Purpose: an admin puts a member of staff back to what they were after a change; for everybody else it is refused. Until now the call answered
--          as if it had been done, with everything in not_restored: columns of staff are written through update_staff only.
-- Tables:  public.staff at run time.
-- Locks:   none.
-- Undo:    restore public.restore_row of 20261218000110, private.restore_columns and private.write_columns of 20261102000800.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.restore_columns(table_name text)
returns text[]
language sql
stable
set search_path = ''
as $$
    -- What staff may write at all; of staff, what update_staff takes. service_role could write more, but amounts, numbers and links are not to be turned back.
    select coalesce(array_agg(a.attname::text), '{}'::text[])
    from pg_catalog.pg_attribute as a
    where a.attrelid = format('public.%I', restore_columns.table_name)::regclass and a.attnum > 0 and not a.attisdropped
        and case restore_columns.table_name
            when 'staff' then a.attname = any (array['full_name', 'email', 'role', 'active'])
            else has_column_privilege('authenticated', a.attrelid, a.attnum, 'update')
        end
        and a.attname <> all (array['created_at', 'updated_at', 'version', 'customer_id']);
$$;

create or replace function private.write_columns(table_name text, row_id uuid, version bigint, columns text[], wanted jsonb)
returns jsonb
language plpgsql
set search_path = ''
set timezone = 'UTC'
as $$
declare
    names text := (select string_agg(format('%I', c), ', ') from unnest(columns) as c);
    written jsonb;
begin
    if table_name = 'staff' then
        -- Admins write them by this call alone, which asks for their right and queues them.
        select to_jsonb(s) into written
        from private.update_staff(row_id, (select jsonb_object_agg(c, wanted -> c) from unnest(columns) as c), version) as s;
        return written;
    end if;
    execute format(
        'update public.%1$I as t set (%2$s) = (select %2$s from jsonb_populate_record(null::public.%1$I, $3))
        where t.%3$I = $1 and t.version = $2 returning to_jsonb(t)', table_name, names, private.key_column(table_name)
    ) into written using row_id, version, wanted;
    return written;
end;
$$;

create or replace function public.restore_row(table_name text, row_id uuid, change_id bigint, expected_version bigint default null)
returns jsonb
language plpgsql
set search_path = ''
set timezone = 'UTC'
as $$
declare
    before jsonb;
    wanted jsonb;
    columns text[];
    after jsonb;
begin
    -- One restore of a row after the other: a copy then finds what the first one did, and is recognised by it.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(format('restore_row %s %s', table_name, row_id), 0));
    before := private.current_row(table_name, row_id);
    if current_setting('role', true) = 'authenticated' and not (select private.is_staff()) then
        raise exception 'only staff may restore rows' using errcode = 'insufficient_privilege', hint = 'Sign in as an active staff member.';
    elsif table_name = 'staff' and current_setting('role', true) = 'authenticated' and not (select private.is_admin()) then
        raise exception 'only admins may restore staff' using errcode = 'insufficient_privilege', hint = 'Ask an admin.';
    elsif before is null then
        perform private.raise_no_row(table_name, row_id);
    elsif expected_version is not null and (before ->> 'version')::bigint <> expected_version then
        raise exception 'the row has changed since version %', expected_version
            using errcode = 'PT409', detail = format('current version: %s', before ->> 'version'), hint = 'Read it again and decide.';
    end if;
    wanted := private.row_as_of(table_name, row_id, change_id, before);
    if before ->> 'deleted_at' is not null and wanted ->> 'deleted_at' is null then
        perform private.undelete(table_name, row_id);
    elsif before ->> 'deleted_at' is null and wanted ->> 'deleted_at' is not null then
        perform private.soft_delete(table_name, row_id);
    end if;
    after := private.current_row(table_name, row_id);
    columns := private.differences(wanted, after, private.restore_columns(table_name));
    if columns <> '{}' then
        after := private.write_columns(table_name, row_id, (after ->> 'version')::bigint, columns, wanted);
        if after is null then
            raise exception 'the row could not be restored'
                using errcode = 'PT409', detail = 'It changed meanwhile, or your role may see it and not write it.', hint = 'Read it again and decide.';
        end if;
    end if;
    -- The row is not kept: a copy reads it, and an answer holds no values.
    return private.keep_answer(jsonb_build_object(
        'change_id', change_id, 'restored', private.differences(after, before, null), 'not_restored', private.differences(wanted, after, null)
    )) || jsonb_build_object('row', after);
end;
$$;
