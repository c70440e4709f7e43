-- Purpose: what the REST server asks before every request, in one round trip: take back whatever the request before left
--          on the session, then set all that the next one relies on.
-- Runs as: supabase_admin, after 25_rest.sql, in one transaction.

-- Whatever role the request before had; there is nothing else in the schema that it may touch.
grant usage on schema _local_stack to public;

create function _local_stack.begin_request(
    search_path bytea,
    role bytea,
    read_only bytea,
    claims bytea,
    headers bytea,
    cookies bytea,
    method bytea,
    path bytea,
    timezone bytea,
    role_settings bytea[],
    deallocate boolean
)
returns void
language plpgsql
volatile
as $$
#variable_conflict use_variable
declare
    left_over record;
begin
    -- First, and without a name that a search path could lead astray: from here on pg_catalog comes first.
    reset all;
    execute 'close all';
    unlisten *;
    discard temp;
    discard sequences;
    perform pg_advisory_unlock_all();
    if deallocate then
        -- The driver's own statements are not from_sql.
        for left_over in select s.name as statement from pg_prepared_statements as s where s.from_sql loop
            execute format('deallocate %I', left_over.statement);
        end loop;
    end if;

    perform
        set_config('search_path', convert_from(search_path, 'UTF8'), false),
        set_config('role', convert_from(role, 'UTF8'), false),
        set_config('default_transaction_read_only', convert_from(read_only, 'UTF8'), false),
        set_config('request.jwt.claims', convert_from(claims, 'UTF8'), false),
        set_config('request.headers', convert_from(headers, 'UTF8'), false),
        set_config('request.cookies', convert_from(cookies, 'UTF8'), false),
        set_config('request.method', convert_from(method, 'UTF8'), false),
        set_config('request.path', convert_from(path, 'UTF8'), false),
        set_config('timezone', convert_from(timezone, 'UTF8'), false);
    -- The search path is the request's now.
    for i in 1 .. pg_catalog.cardinality(role_settings) by 2 loop
        perform pg_catalog.set_config(
            pg_catalog.convert_from(role_settings[i], 'UTF8'),
            pg_catalog.convert_from(role_settings[i operator(pg_catalog.+) 1], 'UTF8'),
            false
        );
    end loop;
end
$$;
comment on function _local_stack.begin_request(
    bytea, bytea, bytea, bytea, bytea, bytea, bytea, bytea, bytea, bytea[], boolean
) is
    'Clean the session, then set what a request relies on; bytes, because a text would be read in the client encoding that was left';
