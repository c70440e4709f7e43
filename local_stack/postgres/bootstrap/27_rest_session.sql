-- Purpose: what the REST server asks before every request, in one round trip: take back whatever the request before left
--          on the session, then set all that the next one relies on.
-- Runs as: supabase_admin, after 25_rest.sql, in one transaction. A database that was made before has the function of 26_rest_session.sql
--          beside it, with other arguments: an older stack on the same folder calls that one.

-- Whatever role the request before had; there is nothing else in the schema that it may touch.
grant usage on schema _local_stack to public;

create function _local_stack.begin_request(settings bytea, deallocate boolean)
returns void
language plpgsql
volatile
as $$
#variable_conflict use_variable
declare
    given text;
    listed text[];
    done text;
    left_over record;
begin
    -- First, and without a name that a search path could lead astray: from here on pg_catalog comes first.
    reset all;
    execute 'close all';
    unlisten *;
    discard temp;
    discard sequences;
    done := pg_advisory_unlock_all();
    if deallocate then
        -- The driver's own statements are not from_sql.
        for left_over in select s.name as statement from pg_prepared_statements as s where s.from_sql loop
            execute format('deallocate %I', left_over.statement);
        end loop;
    end if;

    -- An assignment in a loop: its expression is made ready once, and needs no executor. A search path has to come last, because
    -- what follows it would be looked up there, and be made ready anew.
    given := convert_from(settings, 'UTF8');
    listed := string_to_array(given, left(given, 1));
    for i in 2 .. pg_catalog.cardinality(listed) by 2 loop
        done := set_config(listed[i], listed[i + 1], false);
    end loop;
end
$$;
comment on function _local_stack.begin_request(bytea, boolean) is
    'Clean the session, then set what a request relies on: names and values by turns, the search path last, each after the character that the first one comes after; bytes, because a text would be read in the client encoding that was left';
