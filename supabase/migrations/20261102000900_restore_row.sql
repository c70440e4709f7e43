-- Purpose: the call behind "restore this row as of change X".
-- Tables:  the business tables at run time, as the caller.
-- Locks:   none.
-- Undo:    drop function public.restore_row, private.differences;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.differences(one jsonb, other jsonb, among text[])
returns text[]
language sql
immutable
set search_path = ''
as $$
    select coalesce(array_agg(f.key order by f.key), '{}'::text[])
    from jsonb_each(one) as f
    where f.value is distinct from other -> f.key and (among is null or f.key = any (among))
        and f.key <> all (array['created_at', 'updated_at', 'version']);
$$;
comment on function private.differences(jsonb, jsonb, text[]) is 'Keys whose values differ, among those named or all; never created_at, updated_at, version.';

create function public.restore_row(table_name text, row_id uuid, change_id bigint, expected_version bigint default null)
returns jsonb
language plpgsql
set search_path = ''
set timezone = 'UTC'
as $$
declare
    before jsonb := private.current_row(table_name, row_id);
    wanted jsonb;
    columns text[];
    after jsonb;
begin
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
    return jsonb_build_object(
        'row', after, 'change_id', change_id, 'restored', private.differences(after, before, null),
        'not_restored', private.differences(wanted, after, null)
    );
end;
$$;
comment on function public.restore_row(text, uuid, bigint, bigint) is 'Staff: make a row what it was after a change (an id from row_history). A new audited write; not_restored names fields that cannot be turned back.';

revoke execute on function private.differences(jsonb, jsonb, text[]) from public;
grant execute on function private.differences(jsonb, jsonb, text[]) to authenticated, service_role;
revoke execute on function public.restore_row(text, uuid, bigint, bigint) from public, anon;
grant execute on function public.restore_row(text, uuid, bigint, bigint) to authenticated, service_role;
