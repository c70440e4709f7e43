-- Purpose: refusals that had a hint alone, or nothing, get their detail: bulk writes, and the dashboard (with days without end and unknown
--          time zones).
-- Tables:  none.
-- Locks:   none.
-- Undo:    restore the bodies of 20261103000600 and 20261211000100.
set lock_timeout = '2s';
set statement_timeout = '60s';

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
    return results;
end;
$$;

create or replace function public.dashboard(first_day date, last_day date, zone text default 'UTC')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
    only_staff uuid := case when not (select private.is_manager()) then (select private.current_uid()) end;
    bounds timestamptz[];
    days integer;
begin
    if not (select private.is_staff()) then
        raise exception 'only staff may read the dashboard' using errcode = 'insufficient_privilege', hint = 'Sign in as an active staff member.';
    elsif isfinite(first_day) and isfinite(last_day) and last_day >= first_day then
        days := last_day - first_day + 1;
    end if;
    if days is null or days > 367 then
        raise exception 'malformed range of days'
            using errcode = 'invalid_parameter_value', hint = 'first_day up to last_day, at most 367 days.',
                detail = format('first_day: %s, last_day: %s', coalesce(first_day::text, 'null'), coalesce(last_day::text, 'null'));
    end if;
    begin
        perform now() at time zone coalesce(zone, 'null');
    exception
        when invalid_parameter_value then
            raise exception 'unknown time zone'
                using errcode = 'invalid_parameter_value', detail = format('zone: %s', coalesce(left(zone, 63), 'null')), hint = 'Use a name of the IANA database, for example Europe/Berlin.';
    end;
    -- The first instant of each day and of the one behind the last.
    bounds := array(
        select (first_day + d.place)::timestamp at time zone zone from generate_series(0, days) as d (place) order by d.place
    );
    return private.dashboard_numbers(first_day, bounds, only_staff)
        || jsonb_build_object('first_day', first_day, 'last_day', last_day, 'zone', zone, 'own_only', only_staff is not null);
end;
$$;
