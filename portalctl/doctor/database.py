"""What the catalogue says: migrations, row level security, feed triggers, publication, retention.

Reads only. Each check is one query and one judgement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from portalctl.doctor.finding import Finding, ok, problem, skipped, warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_stack.postgres.migrate import MigrationPlan

    Connection = asyncpg.Connection[asyncpg.Record]

PORTAL_TABLES = ("customers", "invoices", "jobs", "loyalty_transactions", "messages")
PUBLISHED = (*PORTAL_TABLES, "sync_changes")
RETENTION_DAYS = 30
_DRIFT = "Compare with `portalctl rls check`, then bring it back with a new migration."

_OPEN_TABLES = """
    select c.relname from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
        and not c.relrowsecurity
    order by 1"""
_WITHOUT_POLICY = """
    select c.relname from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relrowsecurity
        and not exists (select from pg_policy as p where p.polrelid = c.oid)
    order by 1"""
_ANON_MAY = """
    select distinct table_name::text from information_schema.role_table_grants
    where table_schema = 'public' and grantee in ('anon', 'PUBLIC') order by 1"""
_FEED_TRIGGERS = """
    select t.name || '.' || v.verb from unnest($1::text[]) as t (name),
        unnest(array['feed_insert', 'feed_update', 'feed_delete']) as v (verb)
    where not exists (
        select from pg_trigger as g
        where g.tgrelid = to_regclass('public.' || quote_ident(t.name)) and g.tgname = v.verb
            and g.tgdeferrable and g.tginitdeferred and g.tgenabled in ('O', 'A'))
    order by 1"""
_PUBLISHED = """
    select tablename::text from pg_publication_tables
    where pubname = 'supabase_realtime' and schemaname = 'public'"""
_TOPICS = """
    select count(*) filter (where cmd = 'SELECT') as receive,
        count(*) filter (where cmd = 'INSERT') as send
    from pg_policies where schemaname = 'realtime' and tablename = 'messages'
        and 'authenticated' = any (roles)"""
_OLD_ENTRIES = """
    select count(*) from public.sync_scopes as s
    join public.sync_changes as oldest on oldest.scope = s.scope and oldest.n = s.floor + 1
    where oldest.committed_at < now() - make_interval(days => $1)"""


def judge_migrations(plan: MigrationPlan) -> Finding:
    """Judge how far the database is behind the files."""
    subject = "migrations"
    if plan.pending:
        return problem(
            subject, f"{len(plan.pending)} are not applied.", "Apply them: `portalctl db push`."
        )
    if plan.unknown or plan.edited:
        return warning(
            subject,
            f"{len(plan.edited)} edited after they were applied, "
            f"{len(plan.unknown)} unknown to this folder.",
            "See `portalctl db status`.",
        )
    return ok(subject, f"All {len(plan.applied)} are applied.")


async def check_catalogue(connection: Connection) -> list[Finding]:
    """Run every check of the catalogue."""
    return [
        await _row_security(connection),
        await _anon(connection),
        await _feed(connection),
        await _publication(connection),
        await _wal_level(connection),
        await _topics(connection),
        await _retention(connection),
    ]


async def _names(connection: Connection, query: str, *arguments: object) -> list[str]:
    return [str(row[0]) for row in await connection.fetch(query, *arguments)]


async def _row_security(connection: Connection) -> Finding:
    subject = "row level security"
    is_open = await _names(connection, _OPEN_TABLES)
    if is_open:
        return problem(subject, f"Switched off on {_listed(is_open)}.", _DRIFT)
    silent = await _names(connection, _WITHOUT_POLICY)
    if silent:
        return problem(subject, f"No policy on {_listed(silent)}: nobody sees a row.", _DRIFT)
    return ok(subject, "On, with policies, on every table.")


async def _anon(connection: Connection) -> Finding:
    subject = "anonymous access"
    tables = await _names(connection, _ANON_MAY)
    if tables:
        return problem(subject, f"anon or public has grants on {_listed(tables)}.", _DRIFT)
    return ok(subject, "None on any table.")


async def _feed(connection: Connection) -> Finding:
    subject = "change feed"
    missing = await _names(connection, _FEED_TRIGGERS, list(PORTAL_TABLES))
    if missing:
        return problem(
            subject,
            f"Missing or disabled: {_listed(missing)}. Changes are not recorded.",
            "Enable the triggers again, then run `select private.new_sync_epoch();`.",
        )
    return ok(subject, "Every trigger is enabled.")


async def _publication(connection: Connection) -> Finding:
    subject = "publication"
    there = set(await _names(connection, _PUBLISHED))
    missing = sorted(set(PUBLISHED) - there)
    if missing:
        return problem(
            subject,
            f"supabase_realtime lacks {_listed(missing)}.",
            "`alter publication supabase_realtime add table public.<name>;` in a new migration.",
        )
    return ok(subject, "supabase_realtime holds the feed and the portal's tables.")


async def _wal_level(connection: Connection) -> Finding:
    level = str(await connection.fetchval("show wal_level"))
    if level != "logical":
        return problem(
            "write-ahead log",
            f"wal_level is {level}: Realtime sees no commit.",
            "Set wal_level = logical and restart PostgreSQL.",
        )
    return ok("write-ahead log", "wal_level is logical.")


async def _topics(connection: Connection) -> Finding:
    subject = "private channels"
    row = await connection.fetchrow(_TOPICS)
    if row is None or not row["receive"] or not row["send"]:
        return problem(
            subject,
            "realtime.messages lacks the policy to receive or to send: every join is refused.",
            "Apply the migrations: `portalctl db push`.",
        )
    return ok(subject, "Policies to receive and to send are there.")


async def _retention(connection: Connection) -> Finding:
    subject = "retention"
    try:
        count = int(await connection.fetchval(_OLD_ENTRIES, RETENTION_DAYS))
    except asyncpg.InsufficientPrivilegeError:
        return skipped(subject, "This role may not read the feed.", "Connect as postgres.")
    if count:
        return warning(
            subject,
            f"{count} customers' feeds reach back more than {RETENTION_DAYS} days.",
            "Schedule `select private.prune_sync_changes();` (docs/howto/dba.md).",
        )
    return ok(subject, f"No entry of the feed is older than {RETENTION_DAYS} days.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
