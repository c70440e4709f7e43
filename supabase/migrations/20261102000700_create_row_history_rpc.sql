-- Purpose: who changed a row, when, and what; and which fields changed since a version (for a three-way merge).
-- Tables:  reads public.activity_log and the business tables as the caller.
-- Locks:   none.
-- Undo:    drop function public.row_history, public.fields_changed_since, private.current_row, private.key_column;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.key_column(table_name text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
    if table_name = any (array['customers', 'lead_notes', 'calls', 'jobs', 'job_notes', 'invoices', 'messages', 'loyalty_transactions']) then
        return 'id';
    elsif table_name = 'leads' then
        return 'customer_id';
    elsif table_name = 'staff' then
        return 'user_id';
    end if;
    raise exception 'unknown table %', coalesce(left(table_name, 63), 'null')
        using errcode = 'invalid_parameter_value',
            hint = 'customers, leads, lead_notes, calls, jobs, job_notes, invoices, messages, loyalty_transactions or staff.';
end;
$$;
comment on function private.key_column(text) is 'Primary key of an audited table. Raises 22023 for any other table.';

create function private.current_row(table_name text, row_id uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
    found_row jsonb;
begin
    execute format('select to_jsonb(t) from public.%I as t where t.%I = $1', table_name, private.key_column(table_name))
    into found_row using row_id;
    return found_row;
end;
$$;
comment on function private.current_row(text, uuid) is 'A row of an audited table as the caller sees it, or null.';

create function public.row_history(table_name text, row_id uuid, before_id bigint default null, "limit" integer default 50)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
    entries jsonb;
begin
    perform private.key_column(table_name);
    if "limit" is null or "limit" not between 1 and 500 then
        raise exception 'malformed limit'
            using errcode = 'invalid_parameter_value', detail = format('limit: %s', coalesce("limit"::text, 'null')), hint = 'limit is 1 to 500.';
    end if;
    select coalesce(jsonb_agg(
        jsonb_build_object(
            'id', h.id, 'at', h.at, 'op', h.op, 'version', h.row_version, 'actor', h.actor, 'actor_kind', h.actor_kind,
            'actor_name', coalesce(
                (select s.full_name from public.staff as s where s.user_id = h.actor),
                (select c.name from public.customers as c where c.portal_user_id = h.actor)
            ),
            'request_id', h.request_id, 'old', h.old, 'new', h.new
        ) order by h.id desc), '[]'::jsonb)
    into entries
    from (
        select l.* from public.activity_log as l
        where l.table_name = row_history.table_name and l.row_id = row_history.row_id::text and (before_id is null or l.id < before_id)
        order by l.id desc
        limit "limit"
    ) as h;
    return jsonb_build_object(
        'table', table_name, 'row_id', row_id,
        'version', (private.current_row(table_name, row_id) ->> 'version')::bigint,
        'entries', entries,
        'next_before_id', case when jsonb_array_length(entries) = "limit" then entries -> -1 -> 'id' end
    );
end;
$$;
comment on function public.row_history(text, uuid, bigint, integer) is 'Staff: the changes of a row, newest first: who, when, under which request, old and new values of the changed fields.';

create function public.fields_changed_since(table_name text, row_id uuid, version bigint)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
    now_row jsonb := private.current_row(table_name, row_id);
    head bigint := (now_row ->> 'version')::bigint;
    fields jsonb;
    steps bigint;
begin
    if now_row is null then
        perform private.raise_no_row(table_name, row_id);
    elsif version is null or version not between 1 and head then
        raise exception 'malformed version'
            using errcode = 'invalid_parameter_value', detail = format('version: %s, current: %s', coalesce(version::text, 'null'), head),
                hint = 'The version that you read: 1 up to the current one.';
    end if;
    with later as (
        select l.* from public.activity_log as l
        where l.table_name = fields_changed_since.table_name and l.row_id = fields_changed_since.row_id::text
            and l.op = 'update' and l.row_version > fields_changed_since.version and l.row_version <= head
    ), per_field as (
        select f.key, (array_agg(f.value order by l.id))[1] as before, max(l.row_version) as at_version,
            (array_agg(l.actor order by l.id desc))[1] as actor, max(l.at) as at
        from later as l
        cross join lateral jsonb_each(l.old) as f
        group by f.key
    )
    select coalesce(jsonb_object_agg(p.key, jsonb_build_object(
            'old', p.before, 'new', now_row -> p.key, 'version', p.at_version, 'actor', p.actor, 'at', p.at)), '{}'::jsonb),
        (select count(distinct l.row_version) from later as l)
    into fields, steps
    from per_field as p
    where p.before is distinct from now_row -> p.key;
    return jsonb_build_object(
        'table', table_name, 'row_id', row_id, 'since', version, 'version', head,
        'complete', steps = head - version, 'fields', fields
    );
end;
$$;
comment on function public.fields_changed_since(text, uuid, bigint) is 'Staff: for a merge, the fields that differ between a version and now, with both values. complete is false when the log no longer reaches back.';

revoke execute on function private.key_column(text), private.current_row(text, uuid) from public;
grant execute on function private.key_column(text), private.current_row(text, uuid), private.raise_no_row(text, uuid) to authenticated, service_role;
revoke execute on function public.row_history(text, uuid, bigint, integer), public.fields_changed_since(text, uuid, bigint) from public, anon;
grant execute on function public.row_history(text, uuid, bigint, integer), public.fields_changed_since(text, uuid, bigint) to authenticated, service_role;
