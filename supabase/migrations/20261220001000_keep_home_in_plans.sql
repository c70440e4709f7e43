-- Purpose: where epochs are minted is known without reading the control file. Cluster and database cannot change under a session, so a
--          function that is called immutable tells of them: a session's plans keep its answer, also where somebody resets all settings
--          (the local stack does so before every request). Readers need no setting for it any more; those who write keep theirs.
-- Tables:  none.
-- Locks:   none.
-- Undo:    restore private.sync_home of 20261201000150; drop function private.home_here, private.cluster_and_database.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.cluster_and_database()
returns text
language sql
immutable
set search_path = ''
as $$
    select c.system_identifier || ':' || d.oid
    from pg_control_system() as c
    join pg_database as d on d.datname = current_database();
$$;
comment on function private.cluster_and_database() is
'Which cluster and database this is. Immutable for as long as a session lives, which is as long as plans are kept; never to be used in an index.';
revoke execute on function private.cluster_and_database() from public;
grant execute on function private.cluster_and_database() to authenticated, service_role;

create function private.home_here()
returns uuid
language plpgsql
stable
set search_path = ''
as $$
begin
    -- The table's oid changes when pg_restore --clean puts it back, the timeline (the first 8 digits of a WAL file's name) with every
    -- promotion and every recovery to a point in time.
    if pg_is_in_recovery() then
        return (
            select md5(
                private.cluster_and_database() || ':' || 'public.sync_scopes'::regclass::oid || ':' || lpad(upper(to_hex(c.timeline_id)), 8, '0')
            )::uuid
            from pg_control_checkpoint() as c
        );
    end if;
    return md5(
        private.cluster_and_database() || ':' || 'public.sync_scopes'::regclass::oid || ':'
        || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
    )::uuid;
end;
$$;
comment on function private.home_here() is 'What epochs minted here are bound to: this cluster, its timeline, this database, this table. Keeps and reads no setting.';
revoke execute on function private.home_here() from public;
grant execute on function private.home_here() to authenticated, service_role;

create or replace function private.sync_home()
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
    place text := 'public.sync_scopes'::regclass::oid || ':w=';
    cached text := current_setting('portal_sync.home', true);
    home uuid;
begin
    if starts_with(cached, place) then
        return right(cached, 36)::uuid;
    end if;
    home := private.home_here();
    -- A session that found its server writing needs no second look at the timeline: no session survives a recovery.
    if not pg_is_in_recovery() then
        perform set_config('portal_sync.home', place || home, false);
    end if;
    return home;
end;
$$;
comment on function private.sync_home() is 'As private.home_here, kept in a session setting by sessions that write: the feed''s trigger compares it with the home of a scope.';
