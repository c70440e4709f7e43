-- Purpose: ask who may see many changed rows in one statement, so that a burst of changes costs one look-up per reader
--          and table instead of one per reader and row. Replaces realtime.row_readers.
-- Runs as: supabase_admin, after 30_realtime.sql, in one transaction.

create function realtime.lookup_call(lookup text, keys jsonb, places int[])
returns text
language sql
immutable
set search_path = ''
as $$
    -- One argument per column of the key: a text array with that column of every row asked about.
    select format('execute %I(%s)', lookup, string_agg(quote_literal(c.texts::text), ', ' order by c.place))
    from (
        select k.place, array_agg(k.texts ->> (p.place - 1) order by p.number) as texts
        from jsonb_array_elements(keys) with ordinality as k (texts, place)
        cross join unnest(places) with ordinality as p (place, number)
        group by k.place
    ) as c
$$;
comment on function realtime.lookup_call(text, jsonb, int[]) is
    'The statement that runs a prepared lookup for some rows, by their places in the columns of the key';

create function realtime.is_everything_settled(xids bigint[])
returns boolean
language sql
stable
set search_path = ''
as $$ select coalesce(bool_and(realtime.is_settled(xid)), true) from unnest(xids) as xid $$;
comment on function realtime.is_everything_settled(bigint[]) is
    'Whether all of these streamed transactions are visible to other sessions';

create function realtime.rows_readers(questions jsonb, xids bigint[])
returns boolean[]
language plpgsql
volatile
set plan_cache_mode = force_generic_plan
as $$
declare
    results boolean[] := '{}';
    asked record;
    seen boolean[];
    one boolean[];
    calls text[];
begin
    while not realtime.is_everything_settled(xids) loop
        perform pg_sleep(0.0001);
    end loop;

    -- Every statement is written before the first change of role, for no other role may call the helpers.
    select
        array_agg(q.role order by q.place) as roles,
        array_agg(q.claims order by q.place) as claims,
        array_agg(q.lookup order by q.place) as lookups,
        array_agg(q.keys order by q.place) as keys,
        array_agg(q.count order by q.place) as counts,
        array_agg(
            realtime.lookup_call(q.lookup, q.keys, array(select generate_series(1, q.count))) order by q.place
        ) as calls
    into asked
    from rows from (
        jsonb_to_recordset(questions) as (lookup text, role text, claims text, keys jsonb, count int)
    ) with ordinality as q (lookup, role, claims, keys, count, place);

    for i in 1 .. coalesce(cardinality(asked.roles), 0) loop
        -- A statement is planned once per role; only claims and keys differ from one reader to the next.
        begin
            perform set_config('role', asked.roles[i], true),
                set_config('request.jwt.claims', asked.claims[i], true);
            execute asked.calls[i] into seen;
        exception when others then
            seen := null;
        end;
        if seen is null then
            -- A policy raises on some row: it hides that row, from this reader alone.
            perform set_config('role', 'none', true);
            calls := array(
                select realtime.lookup_call(asked.lookups[i], asked.keys[i], array[place])
                from generate_series(1, asked.counts[i]) as place
            );
            seen := '{}';
            for place in 1 .. asked.counts[i] loop
                begin
                    perform set_config('role', asked.roles[i], true),
                        set_config('request.jwt.claims', asked.claims[i], true);
                    execute calls[place] into one;
                exception when others then
                    one := '{false}';
                end;
                seen := seen || one;
            end loop;
        end if;
        results := results || seen;
    end loop;
    perform set_config('role', 'none', true);
    return results;
end
$$;
comment on function realtime.rows_readers(jsonb, bigint[]) is
    'For each question (a role with its claims, and rows of one table by key): does row level security show each row; waits until the transactions are visible; a policy that raises hides the row from its reader';

do $$
declare
    made regprocedure;
begin
    foreach made in array array[
        'realtime.lookup_call(text, jsonb, int[])',
        'realtime.is_everything_settled(bigint[])',
        'realtime.rows_readers(jsonb, bigint[])'
    ]::regprocedure[] loop
        execute format('alter function %s owner to supabase_realtime_admin', made);
        execute format('revoke execute on function %s from public', made);
    end loop;
end
$$;

drop function realtime.row_readers(text, text[], text[], text[], bigint);
