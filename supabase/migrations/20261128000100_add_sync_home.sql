-- Purpose: tell by itself that a database is not the one that minted an epoch: restored from a dump, copied, promoted, recovered
--          to a point in time. Such a scope answers with another epoch, so that no cursor of the lost future is continued.
-- Tables:  public.sync_scopes gets the column home.
-- Locks:   access exclusive on public.sync_scopes for an instant; no row is rewritten.
-- Undo:    restore private.scope_head of 20261101002400 and private.ring_doorbells of 20261101002150; drop the column home; drop
--          function private.epoch_at, private.sync_home.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.sync_home()
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
    cached text := current_setting('portal_sync.home', true);
    place text;
    home uuid;
begin
    -- The table's oid changes when pg_restore --clean puts it back, the timeline (the first 8 digits of a WAL file's name) with every
    -- promotion and every recovery to a point in time.
    if not pg_is_in_recovery() then
        place := 'public.sync_scopes'::regclass::oid || ':' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8);
        if starts_with(cached, place) then
            return right(cached, 36)::uuid;
        end if;
    else
        place := 'public.sync_scopes'::regclass::oid || ':'
            || (select lpad(upper(to_hex(c.timeline_id)), 8, '0') from pg_control_checkpoint() as c);
    end if;
    -- Cluster and database cannot change under a session, and reading the control file costs ten times the rest.
    select md5(c.system_identifier || ':' || d.oid || ':' || place)::uuid into home
    from pg_control_system() as c
    join pg_database as d on d.datname = current_database();
    perform set_config('portal_sync.home', place || '=' || home, false);
    return home;
end;
$$;
comment on function private.sync_home() is 'What epochs minted here are bound to: this cluster, its timeline, this database, this table. Kept in a session setting.';
revoke execute on function private.sync_home() from public;
grant execute on function private.sync_home() to authenticated, service_role;

create function private.epoch_at(epoch uuid, home uuid, here uuid)
returns uuid
language sql
immutable
set search_path = ''
as $$
    select case when home = here then epoch else md5(epoch || ':' || here)::uuid end;
$$;
comment on function private.epoch_at(uuid, uuid, uuid) is 'The epoch of a scope minted at home as it counts here. Derived, not drawn: a read needs no write, and every reader gets the same.';
revoke execute on function private.epoch_at(uuid, uuid, uuid) from public;
grant execute on function private.epoch_at(uuid, uuid, uuid) to authenticated, service_role;

-- A stable default: existing rows get its value without being rewritten. A restore brings the old value back, which is the point.
-- squawk-ignore adding-field-with-default
alter table public.sync_scopes add column home uuid not null default private.sync_home();
comment on column public.sync_scopes.home is 'Where epoch was minted (private.sync_home); elsewhere another epoch counts, until the next change settles it.';

create or replace function private.scope_head(scope text)
returns public.sync_scopes
language plpgsql
stable
set search_path = ''
as $$
declare
    head public.sync_scopes;
begin
    select s.* into head from public.sync_scopes as s where s.scope = scope_head.scope;
    if not found then
        raise exception 'no such scope for this caller'
            using errcode = 'insufficient_privilege',
                detail = format('scope: %s', scope),
                hint = 'Sign in as the customer of this scope, or as staff.';
    end if;
    head.epoch := private.epoch_at(head.epoch, head.home, private.sync_home());
    return head;
end;
$$;

create or replace function private.ring_doorbells(scopes text[])
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform realtime.send(
        jsonb_build_object('epoch', private.epoch_at(s.epoch, s.home, private.sync_home()), 'n', coalesce(s.n, 0)),
        'sync', rung.scope, true
    )
    from unnest(scopes) as rung (scope)
    left join public.sync_scopes as s on s.scope = rung.scope;
exception
    when others then
        -- A lost ring costs a verify interval; a failed write costs the customer's change.
        raise warning 'the doorbell could not be rung: %', sqlerrm;
end;
$$;
