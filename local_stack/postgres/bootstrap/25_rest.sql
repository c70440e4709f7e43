-- Purpose: event triggers that tell the REST server about changed objects, as every Supabase project has them, so that
--          its schema cache is read again after DDL without a NOTIFY of the migration.
-- Runs as: supabase_admin, after 20_auth.sql, in one transaction.

create function extensions.pgrst_ddl_watch() returns event_trigger
language plpgsql set search_path = '' as $$
begin
    -- Temporary objects are nobody else's; functions that make them run in requests.
    if exists (
        select
        from pg_catalog.pg_event_trigger_ddl_commands() command
        where command.schema_name is distinct from 'pg_temp'
            and command.schema_name is distinct from 'pg_toast'
            and command.command_tag not in ('CREATE INDEX', 'REINDEX', 'REFRESH MATERIALIZED VIEW')
    ) then
        notify pgrst, 'reload schema';
    end if;
end;
$$;
comment on function extensions.pgrst_ddl_watch() is 'Has the REST server read its schema cache again after a change';

create function extensions.pgrst_drop_watch() returns event_trigger
language plpgsql set search_path = '' as $$
begin
    if exists (
        select
        from pg_catalog.pg_event_trigger_dropped_objects() dropped
        where not dropped.is_temporary and dropped.object_type <> 'index'
    ) then
        notify pgrst, 'reload schema';
    end if;
end;
$$;
comment on function extensions.pgrst_drop_watch() is 'Has the REST server read its schema cache again after a drop';

create event trigger pgrst_ddl_watch on ddl_command_end
    execute function extensions.pgrst_ddl_watch();
comment on event trigger pgrst_ddl_watch is 'Keeps the schema cache of the REST server fresh';

create event trigger pgrst_drop_watch on sql_drop
    execute function extensions.pgrst_drop_watch();
comment on event trigger pgrst_drop_watch is 'Keeps the schema cache of the REST server fresh';
