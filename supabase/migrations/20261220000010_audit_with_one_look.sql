-- Purpose: the audit asks once who acts, reads the request's headers only where there are some, and joins the rows of an update without copying them.
-- Tables:  public.activity_log at run time; what is written there is the same.
-- Locks:   none.
-- Undo:    restore private.audit_changes of 20261216000100.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.audit_changes()
returns trigger
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
-- The plan is cached from statements of one row; joined in nested loops, 10,000 rows would take minutes.
set enable_nestloop = off
as $$
declare
    key_column text := tg_argv[0];
    customer_column text := nullif(tg_argv[1], '');
    hidden text[] := array['created_at', 'updated_at', 'version'];
    caller record := private.caller();
    -- As in private.actor_kind.
    kind text := case
        when current_setting('role', true) = 'service_role' then 'service'
        when caller.staff_name is not null then 'staff'
        when caller.uid is not null then 'customer'
        else 'system'
    end;
    request text := case when current_setting('request.headers', true) <> '' then private.request_id() end;
begin
    -- "offset 0": else the row would be made into JSON once for each time that it is looked at.
    if tg_op = 'INSERT' then
        insert into public.activity_log (table_name, row_id, customer_id, op, new, row_version, actor, actor_kind, request_id)
        select tg_table_name, j.row ->> key_column, (j.row ->> customer_column)::uuid, 'insert',
            jsonb_strip_nulls(j.row - hidden), (j.row ->> 'version')::bigint, caller.uid, kind, request
        from (select to_jsonb(n) as row from new_rows as n offset 0) as j;
    elsif tg_op = 'DELETE' then
        insert into public.activity_log (table_name, row_id, customer_id, op, old, row_version, actor, actor_kind, request_id)
        select tg_table_name, j.row ->> key_column, (j.row ->> customer_column)::uuid, 'delete',
            jsonb_strip_nulls(j.row - hidden), (j.row ->> 'version')::bigint, caller.uid, kind, request
        from (select to_jsonb(o) as row from old_rows as o offset 0) as j
        -- Erasing a customer deletes by cascade: the log is not to keep what the tables forget.
        where customer_column is null
            or exists (select from public.customers as c where c.id = (j.row ->> customer_column)::uuid);
    else
        insert into public.activity_log (table_name, row_id, customer_id, op, old, new, row_version, actor, actor_kind, request_id)
        select tg_table_name, a.row ->> key_column, (a.row ->> customer_column)::uuid, 'update',
            changed.old, changed.new, (a.row ->> 'version')::bigint, caller.uid, kind, request
        from (select to_jsonb(o) as row from old_rows as o offset 0) as b
        join (select to_jsonb(n) as row from new_rows as n offset 0) as a on a.row ->> key_column = b.row ->> key_column
        cross join lateral (
            select jsonb_object_agg(f.key, b.row -> f.key) as old, jsonb_object_agg(f.key, f.value) as new
            from jsonb_each(a.row - hidden) as f
            where f.value is distinct from b.row -> f.key
        ) as changed
        where changed.new is not null;
    end if;
    return null;
end;
$$;
