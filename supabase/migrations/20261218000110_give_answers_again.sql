-- Purpose: a copy of a request gets the answer of the first one also where no row tells it: bulk writes, restores, and the new call that
--          marks invoices as overdue.
-- Tables:  public.invoices and the business tables at run time, as the caller.
-- Locks:   none.
-- Undo:    drop function public.mark_overdue_invoices; restore the bodies of bulk_write (20261215000100) and restore_row (20261102000900).
set lock_timeout = '2s';
set statement_timeout = '60s';

create function public.mark_overdue_invoices(due_before date default null)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    day date := coalesce(due_before, (now() at time zone 'UTC')::date);
    marked bigint;
begin
    if current_setting('role', true) = 'authenticated' and not (select private.is_staff()) then
        raise exception 'only staff may mark invoices' using errcode = 'insufficient_privilege', hint = 'Sign in as an active staff member.';
    end if;
    update public.invoices as i set status = 'overdue'
    where i.status = 'sent' and i.due_on < day and i.deleted_at is null;
    get diagnostics marked = row_count;
    return private.keep_answer(jsonb_build_object('due_before', day, 'marked', marked));
end;
$$;
comment on function public.mark_overdue_invoices(date) is 'Staff: mark every sent invoice that was due before this day (default: today, UTC) as overdue. Returns due_before and how many were marked.';
revoke execute on function public.mark_overdue_invoices(date) from public, anon;
grant execute on function public.mark_overdue_invoices(date) to authenticated, service_role;

create or replace function public.bulk_write(table_name text, rows jsonb, atomic boolean default false, mode text default 'insert')
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    results jsonb := '[]'::jsonb;
    strange bigint;
    known text[] := array['customers', 'jobs', 'invoices', 'messages', 'loyalty_transactions', 'leads', 'lead_notes', 'calls'];
begin
    if table_name is null or table_name <> all (known) then
        raise exception 'bulk_write does not know the table %', coalesce(left(table_name, 63), 'null')
            using errcode = 'invalid_parameter_value', detail = format('table_name: %s', coalesce(left(table_name, 63), 'null')),
                hint = format('One of %s.', array_to_string(known, ', '));
    elsif mode is null or mode <> all (array['insert', 'save']) then
        raise exception 'malformed mode'
            using errcode = 'invalid_parameter_value', detail = format('mode: %s', coalesce(left(mode, 63), 'null')), hint = 'insert or save.';
    elsif rows is null or jsonb_typeof(rows) <> 'array' or jsonb_array_length(rows) > 1000 then
        raise exception 'rows must be a JSON array of at most 1000 objects with their keys'
            using errcode = 'invalid_parameter_value', hint = 'Send more rows in several calls.',
                detail = case when jsonb_typeof(rows) = 'array' then format('rows: %s', jsonb_array_length(rows)) else format('given: %s', coalesce(jsonb_typeof(rows), 'null')) end;
    end if;
    select e.ordinality - 1 into strange
    from jsonb_array_elements(rows) with ordinality as e
    where jsonb_typeof(e.value) <> 'object' or e.value ->> private.key_column(table_name) is null
    order by e.ordinality limit 1;
    if found then
        raise exception 'rows must be a JSON array of at most 1000 objects with their keys'
            using errcode = 'invalid_parameter_value', detail = format('index of the row: %s', strange),
                hint = format('Give each row its %s, made by the caller.', private.key_column(table_name));
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
    return private.keep_answer(results);
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
