"""Take everything out of a database that the migrations put there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack.postgres.migrate import LOCK_KEY
from portalctl.database.target import connected

if TYPE_CHECKING:
    from portalctl.database.target import Target

# One transaction: a reset that fails half-way leaves the database as it was. Objects of
# extensions and of other owners stay; so do the platform's own schemas.
_EMPTY = """
do $$
declare
    found record;
begin
    for found in select policyname from pg_policies
        where schemaname = 'realtime' and tablename = 'messages'
    loop
        execute format('drop policy %I on realtime.messages', found.policyname);
    end loop;
    drop schema if exists private cascade;
    for found in
        select c.oid::regclass::text as name,
            case c.relkind when 'v' then 'view' when 'm' then 'materialized view'
                when 'S' then 'sequence' when 'f' then 'foreign table' else 'table' end as kind
        from pg_class as c
        where c.relnamespace = 'public'::regnamespace
        and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
        and pg_has_role(c.relowner, 'usage')
        and not exists (
            select from pg_depend as d where d.objid = c.oid and d.deptype in ('e', 'a', 'i'))
        order by c.relkind = 'S'
    loop
        execute format('drop %s if exists %s cascade', found.kind, found.name);
    end loop;
    for found in
        select p.oid::regprocedure::text as name from pg_proc as p
        where p.pronamespace = 'public'::regnamespace and pg_has_role(p.proowner, 'usage')
        and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
    loop
        execute format('drop routine if exists %s cascade', found.name);
    end loop;
    for found in
        select t.oid::regtype::text as name from pg_type as t
        left join pg_class as c on c.oid = t.typrelid
        where t.typnamespace = 'public'::regnamespace and pg_has_role(t.typowner, 'usage')
        and (t.typtype in ('e', 'd', 'r') or (t.typtype = 'c' and c.relkind = 'c'))
        and not exists (select from pg_depend as d where d.objid = t.oid and d.deptype = 'e')
    loop
        execute format('drop type if exists %s cascade', found.name);
    end loop;
    delete from auth.users;
    if to_regclass('supabase_migrations.schema_migrations') is not null then
        delete from supabase_migrations.schema_migrations;
    end if;
    if to_regclass('supabase_migrations.seed_files') is not null then
        delete from supabase_migrations.seed_files;
    end if;
end;
$$
"""
_LOCK_TIMEOUT = "10s"


async def empty(target: Target) -> None:
    """Drop tables, functions, policies, users and the migration history; all or nothing.

    Raises:
        asyncpg.LockNotAvailableError: A migration runs, or somebody uses the tables.
    """
    async with connected(target, statement_timeout_s=600) as connection, connection.transaction():
        await connection.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
        # The dropped things may be named without their schema in messages only.
        await connection.execute("set local search_path = ''")
        await connection.execute("select pg_advisory_xact_lock($1)", LOCK_KEY)
        await connection.execute(_EMPTY)
