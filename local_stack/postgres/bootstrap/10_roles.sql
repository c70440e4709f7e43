-- Purpose: the roles, schemas, default privileges and publications that every Supabase project has.
-- Runs as: supabase_admin, first, in a fresh database, in one transaction. Roles belong to the whole cluster, so they
--          may exist already when a second database is prepared.
-- Passwords are not set here; the stack sets them after the files have run.

do $$
declare
    wanted record;
begin
    for wanted in
        select *
        from (values
            ('anon', 'nologin noinherit'),
            ('authenticated', 'nologin noinherit'),
            ('service_role', 'nologin noinherit bypassrls'),
            ('authenticator', 'login noinherit'),
            ('supabase_auth_admin', 'login noinherit createrole'),
            ('supabase_realtime_admin', 'nologin noinherit'),
            ('dashboard_user', 'nologin createdb createrole replication'),
            -- Owns the project, but is no superuser: what a migration may not do on a hosted project fails here too.
            ('postgres', 'login createdb createrole replication bypassrls')
        ) as role (name, attributes)
        where not exists (select from pg_roles where rolname = role.name)
    loop
        execute format('create role %I %s', wanted.name, wanted.attributes);
    end loop;
end;
$$;

comment on role anon is 'API requests without a user';
comment on role authenticated is 'API requests of a signed-in user';
comment on role service_role is 'API requests with the secret key; passes row level security';
comment on role authenticator is 'What the REST server logs in as before it becomes one of the API roles';
comment on role supabase_auth_admin is 'Owner of schema auth; what the auth server logs in as';
comment on role supabase_realtime_admin is 'Owner of schema realtime';
comment on role dashboard_user is 'Unused here; migrations written for hosted projects may name it';
comment on role postgres is 'Owner of the project''s own objects; runs the migrations';

grant anon, authenticated, service_role, authenticator to postgres with admin option;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;
grant anon, authenticated, service_role to supabase_realtime_admin;

-- Only the owner of a table may create policies on it. Hosted projects have an extension for that; here role postgres
-- inherits from the owner, and event triggers in schema realtime refuse everything but policies.
-- Before PostgreSQL 16 the member role alone decides about inheriting: authenticator does not, postgres does.
do $$
begin
    if current_setting('server_version_num')::int >= 160000 then
        execute 'grant anon, authenticated, service_role to authenticator with inherit false, set true';
        execute 'grant supabase_realtime_admin to postgres with inherit true, set false';
        execute 'grant pg_create_subscription to postgres';
    else
        execute 'grant anon, authenticated, service_role to authenticator';
        execute 'grant supabase_realtime_admin to postgres';
    end if;
end;
$$;

-- Settings of the roles on a hosted project.
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role supabase_auth_admin set search_path = 'auth';
alter role supabase_auth_admin set idle_in_transaction_session_timeout = '60s';
alter role postgres set search_path = '$user', public, extensions;
alter role supabase_admin set search_path = '$user', public, auth, extensions;

do $$
begin
    execute format('alter database %I owner to postgres', current_database());
end;
$$;

-- Schemas ----------------------------------------------------------------------------------------------------------

grant usage on schema public to postgres, anon, authenticated, service_role;
grant create on schema public to postgres;

create schema extensions;
comment on schema extensions is 'Extensions live here, away from the exposed schema public';
grant usage, create on schema extensions to postgres, dashboard_user;
grant usage on schema extensions to anon, authenticated, service_role;

-- Default privileges -----------------------------------------------------------------------------------------------
-- Since 30 October 2026 new objects in public are no longer granted to the API roles; each migration grants what it
-- wants to expose. What the Data API never used stayed in the default privileges of hosted projects: truncate ignores
-- row level security, so a migration has to revoke it, and a migration that forgets is to be caught here.
alter default privileges for role postgres in schema public
    grant truncate, references, trigger on tables to anon, authenticated, service_role;
-- Objects of the platform's own role in public keep the grants of old.
alter default privileges for role supabase_admin in schema public
    grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
    grant all on sequences to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
    grant all on functions to postgres, anon, authenticated, service_role;

-- Publications -----------------------------------------------------------------------------------------------------

create publication supabase_realtime;
alter publication supabase_realtime owner to postgres;
