-- Purpose: a row is deleted at the version that was seen, whoever may lock it: staff may not lock the messages that they sent, and so their versions
--          could not be compared. They are compared under the lock that the deletion takes, after the caller's right was checked.
-- Tables:  public.customers, jobs, invoices, messages at run time.
-- Locks:   none.
-- Undo:    drop function private.soft_delete(text, uuid, bigint); restore private.soft_delete of 20261128000700 and public.delete_row of
--          20261103000400.
set lock_timeout = '2s';
set statement_timeout = '60s';

drop function private.soft_delete(text, uuid);

create function private.soft_delete(table_name text, row_id uuid, expected_version bigint default null)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
    allowed boolean;
    current bigint;
    closed timestamptz;
    new_version bigint;
begin
    perform private.require_staff('delete rows');
    if table_name is null or table_name <> all (array['customers', 'jobs', 'messages', 'invoices']) then
        raise exception 'soft_delete does not know the table %', coalesce(table_name, 'null')
            using errcode = 'invalid_parameter_value', detail = format('table_name: %s', left(coalesce(table_name, 'null'), 63)), hint = 'customers, jobs, messages or invoices (drafts).';
    end if;
    execute format(
        'select %s, t.version, t.deleted_at from public.%I as t where t.id = $1 for update',
        case table_name when 'messages' then 't.sender = ''staff''' when 'invoices' then 't.status = ''draft''' else 'true' end,
        table_name
    ) into allowed, current, closed using row_id;
    if allowed is null then
        perform private.raise_no_row(table_name, row_id);
    elsif current <> expected_version and closed is null then
        raise exception 'the row has changed since version %', expected_version
            using errcode = 'PS003', detail = format('current version: %s', current), hint = 'Read it again and decide.';
    elsif not allowed then
        raise exception 'this row of % may not be deleted', table_name
            using errcode = 'check_violation',
                detail = format('%s: %s', table_name, row_id),
                hint = 'Of messages only those from staff, of invoices only drafts; void a sent invoice instead.';
    end if;
    execute format(
        'update public.%I as t set deleted_at = coalesce(t.deleted_at, now()) where t.id = $1 returning t.version', table_name
    ) into new_version using row_id;
    return new_version;
end;
$$;
comment on function private.soft_delete(text, uuid, bigint) is 'Checked work of public.soft_delete and public.delete_row: PS003 unless the row is at this version or deleted; null expects nothing.';
revoke execute on function private.soft_delete(text, uuid, bigint) from public;
grant execute on function private.soft_delete(text, uuid, bigint) to authenticated, service_role;

create or replace function public.delete_row(table_name text, row_id uuid, expected_version bigint default null)
returns jsonb
language plpgsql
set search_path = ''
set timezone = 'UTC'
as $$
begin
    perform private.soft_delete(table_name, row_id, expected_version);
    return private.current_row(table_name, row_id);
end;
$$;
