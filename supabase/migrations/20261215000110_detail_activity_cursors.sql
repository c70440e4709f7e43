-- Purpose: a malformed cursor of the activity log is refused with its detail.
-- Tables:  none.
-- Locks:   none.
-- Undo:    restore the body of 20261201000650.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function public.activity_since(after text default null, "limit" integer default 500)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
    bounds record;
    parts text[] := string_to_array(after, '~');
    here uuid := private.sync_home();
    present pg_snapshot := pg_current_snapshot();
    seen pg_snapshot := present;
    until pg_snapshot := present;
    last_id bigint := 0;
    ids bigint[];
    entries jsonb;
    reason text;
begin
    if not private.is_staff() then
        raise exception 'only staff follow the activity log' using errcode = 'insufficient_privilege', hint = 'Sign in as active staff.';
    elsif "limit" is null or "limit" not between 1 and 1000 then
        raise exception 'malformed limit'
            using errcode = 'invalid_parameter_value', detail = format('limit: %s', coalesce("limit"::text, 'null')), hint = 'limit is 1 to 1000.';
    elsif after !~ '^[0-9a-f-]{36}~[0-9]{1,19}:[0-9]{1,19}:[0-9,]*(~[0-9]{1,19}:[0-9]{1,19}:[0-9,]*~[0-9]{1,18})?$' then
        raise exception 'malformed cursor'
            using errcode = 'invalid_parameter_value', detail = format('after: %s', left(after, 100)), hint = 'Send a cursor as it was given, or none to begin now.';
    end if;
    select b.* into bounds from private.activity_bounds() as b;
    if after is not null then
        -- Text that looks like a snapshot and is none is refused by its input function (22P02).
        seen := parts[2]::pg_snapshot;
        until := coalesce(parts[3]::pg_snapshot, present);
        last_id := coalesce(parts[4]::bigint, 0);
        reason := case
            when parts[1] <> bounds.epoch::text then 'epoch'
            when pg_snapshot_xmax(seen) > pg_snapshot_xmax(present) or pg_snapshot_xmax(until) > pg_snapshot_xmax(present) then 'ahead'
            when pg_snapshot_xmin(seen) <= bounds.pruned_xid then 'pruned'
        end;
    end if;
    if after is null or reason is not null then
        return jsonb_build_object('entries', '[]'::jsonb, 'cursor', format('%s~%s', bounds.epoch, present), 'within', null, 'more', false, 'reset', reason);
    end if;
    -- Committed in between is what this snapshot sees and the earlier one did not. Within the stretch numbers tell the order: of one
    -- row the numbers follow its versions, because they are drawn under its lock.
    with fresh as materialized (
        select l.id from public.activity_log as l
        where l.xid >= pg_snapshot_xmin(seen) and l.id > last_id and l.id >= bounds.first_id and l.home = here
            and not pg_visible_in_snapshot(l.xid, seen) and pg_visible_in_snapshot(l.xid, until)
    )
    select array(select f.id from fresh as f order by f.id limit "limit" + 1) into ids;
    select coalesce(jsonb_agg(to_jsonb(l) - '{xid,home}'::text[] order by l.id), '[]'::jsonb) into entries
    from public.activity_log as l where l.id = any (ids[1:"limit"]);
    return jsonb_build_object(
        'entries', entries,
        'within', format('%s~%s~%s~', bounds.epoch, seen, until),
        'cursor', case when cardinality(ids) > "limit" then format('%s~%s~%s~%s', bounds.epoch, seen, until, ids["limit"]) else format('%s~%s', bounds.epoch, until) end,
        'more', cardinality(ids) > "limit" or parts[3] is not null,
        'reset', null
    );
end;
$$;
