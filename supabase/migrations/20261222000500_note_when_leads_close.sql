-- Purpose: a lead knows when it was won or lost. The dashboard took updated_at for it, so that a note of its score, or somebody else in charge,
--          months later made it won anew. The log and restore_row leave the column out, as they do updated_at: it follows from the status.
-- Tables:  public.leads gets closed_at, null until the next migration fills it, and a trigger.
-- Locks:   access exclusive on public.leads for an instant; no row is read.
-- Undo:    drop trigger m_close on public.leads; drop function private.apply_lead_status; alter table public.leads drop column closed_at; restore
--          private.audit_changes of 20261220000010 and private.differences of 20261102000900.
set lock_timeout = '2s';
set statement_timeout = '60s';

alter table public.leads add column closed_at timestamptz;
comment on column public.leads.closed_at is 'When the lead was won or lost, null while it is open. Set by trigger.';

create function private.apply_lead_status()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if new.status not in ('won', 'lost') then
        new.closed_at := null;
    elsif tg_op = 'INSERT' then
        -- As in private.touch_row: the table owner may import history with its own dates, an API caller may not.
        if current_user in ('anon', 'authenticated', 'service_role') then
            new.closed_at := now();
        else
            new.closed_at := coalesce(new.closed_at, new.created_at, now());
        end if;
    elsif new.status = old.status then
        new.closed_at := old.closed_at;
    else
        -- Also from won to lost, or back: that is another result, of another day.
        new.closed_at := now();
    end if;
    return new;
end;
$$;
comment on function private.apply_lead_status() is
'BEFORE INSERT OR UPDATE: owns closed_at. It is when the status became won or lost, also from the other of them, and null in every other status.';
revoke execute on function private.apply_lead_status() from public;

create trigger m_close before insert or update of status, closed_at on public.leads
for each row execute function private.apply_lead_status();
comment on trigger m_close on public.leads is 'Owns closed_at.';

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
    hidden text[] := array['created_at', 'updated_at', 'version', 'closed_at'];
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

create or replace function private.differences(one jsonb, other jsonb, among text[])
returns text[]
language sql
immutable
set search_path = ''
as $$
    select coalesce(array_agg(f.key order by f.key), '{}'::text[])
    from jsonb_each(one) as f
    where f.value is distinct from other -> f.key and (among is null or f.key = any (among))
        and f.key <> all (array['created_at', 'updated_at', 'version', 'closed_at']);
$$;
comment on function private.differences(jsonb, jsonb, text[]) is
'Keys whose values differ, among those named or all; never created_at, updated_at, version, closed_at, which triggers own.';
