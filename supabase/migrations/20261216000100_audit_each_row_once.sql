-- Purpose: the audit makes a changed row into JSON once; the planner had pulled the subquery up and made it so four times per inserted row, twice
--          per side of an update. In statements of many rows this was the largest part of a write.
-- Tables:  public.activity_log at run time.
-- Locks:   none.
-- Undo:    restore private.audit_changes of 20261101001800.
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
    who uuid := private.current_uid();
    kind text := private.actor_kind();
    request text := private.request_id();
begin
    -- "offset 0": else the row would be made into JSON once for each time that it is looked at.
    if tg_op = 'INSERT' then
        insert into public.activity_log (table_name, row_id, customer_id, op, new, row_version, actor, actor_kind, request_id)
        select tg_table_name, j.row ->> key_column, (j.row ->> customer_column)::uuid, 'insert',
            jsonb_strip_nulls(j.row - hidden), (j.row ->> 'version')::bigint, who, kind, request
        from (select to_jsonb(n) as row from new_rows as n offset 0) as j;
    elsif tg_op = 'DELETE' then
        insert into public.activity_log (table_name, row_id, customer_id, op, old, row_version, actor, actor_kind, request_id)
        select tg_table_name, j.row ->> key_column, (j.row ->> customer_column)::uuid, 'delete',
            jsonb_strip_nulls(j.row - hidden), (j.row ->> 'version')::bigint, who, kind, request
        from (select to_jsonb(o) as row from old_rows as o offset 0) as j
        -- Erasing a customer deletes by cascade: the log is not to keep what the tables forget.
        where customer_column is null
            or exists (select from public.customers as c where c.id = (j.row ->> customer_column)::uuid);
    else
        insert into public.activity_log (table_name, row_id, customer_id, op, old, new, row_version, actor, actor_kind, request_id)
        with b as materialized (
            select j.row ->> key_column as key, j.row from (select to_jsonb(o) as row from old_rows as o offset 0) as j
        ), a as materialized (
            select j.row ->> key_column as key, j.row from (select to_jsonb(n) as row from new_rows as n offset 0) as j
        )
        select tg_table_name, pair.after ->> key_column, (pair.after ->> customer_column)::uuid, 'update',
            changed.old, changed.new, (pair.after ->> 'version')::bigint, who, kind, request
        from (
            select b.row as before, a.row as after from b join a on a.key = b.key
        ) as pair
        cross join lateral (
            select jsonb_object_agg(f.key, pair.before -> f.key) as old, jsonb_object_agg(f.key, f.value) as new
            from jsonb_each(pair.after - hidden) as f
            where f.value is distinct from pair.before -> f.key
        ) as changed
        where changed.new is not null;
    end if;
    return null;
end;
$$;
