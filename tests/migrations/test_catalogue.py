"""What the migrations leave in the catalogue, and that the rules can fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from local_stack.postgres.migrate import apply_migrations
from tests.migrations.catalogue import PUBLICATION, RULES, SECURITY
from tests.support.cluster import MIGRATED, Database, TestCluster

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def migrated(cluster: TestCluster) -> Iterator[Database]:
    database = cluster.clone(MIGRATED, "catalogue")
    yield database
    cluster.drop(database)


async def broken(connection: asyncpg.Connection, rule: str) -> list[str]:
    return sorted(str(record[0]) for record in await connection.fetch(RULES[rule]))


@pytest.mark.parametrize("rule", RULES)
async def test_nothing_breaks_the_rule(migrated: Database, rule: str) -> None:
    connection = await asyncpg.connect(migrated.url)
    try:
        assert await broken(connection, rule) == []
    finally:
        await connection.close()


FAULTS = {
    "tables without row level security": "create table public.t (id int primary key)",
    "tables without a primary key": "create table public.t (id int)",
    "tables without a comment": "create table public.t (id int primary key)",
    "columns without a comment": "alter table jobs add column x int",
    "functions without a comment": (
        "create function private.f() returns int language sql as 'select 1'"
    ),
    "functions without a pinned, empty search_path": (
        "create function private.f() returns int language sql as 'select 1'"
    ),
    "refusals without SQLSTATE, detail or hint": (
        "create function private.f() returns void language plpgsql as $$ begin "
        "raise exception 'no; %', 1 using errcode = '22023', hint = 'It''s a; hint.'; end $$"
    ),
    "writers of the change log besides the feed": (
        "create function private.f() returns void language sql as "
        "'update public.sync_changes set op = null'"
    ),
    "generated columns that private.touch_row is not told of": (
        "alter table jobs add column x text generated always as (title || '!') stored"
    ),
    "triggers that an update of a column in their condition does not fire": (
        "create trigger t before update of title on jobs for each row "
        "when (new.address = new.title) execute function private.refuse_value()"
    ),
    "definer functions that the API exposes": (
        "create function public.f() returns int language sql security definer as 'select 1'"
    ),
    "functions that everybody or anon may execute": (
        "create function public.f() returns int language sql as 'select 1'; "
        "grant execute on function public.f() to public"
    ),
    "relations that anon may touch": "grant select on jobs to anon",
    "truncate, references, trigger or delete granted to an API role": (
        "grant truncate on jobs to authenticated"
    ),
    "private tables granted to anybody": "grant select on private.sync_pending to authenticated",
    "default privileges that still give something to the API": (
        "alter default privileges in schema public grant select on tables to anon"
    ),
    "policies that are permissive twice for one verb": (
        "create policy p on jobs for select to authenticated using (true)"
    ),
    "policies for other roles than authenticated, or for all verbs": (
        "create policy p on jobs for delete using (true)"
    ),
    "update policies without both using and with check": (
        "create policy p on staff for update to authenticated using (true)"
    ),
    "policies that call a helper outside of (select …)": (
        "create policy p on jobs for delete to authenticated using (private.is_staff())"
    ),
    "foreign keys without an index": (
        "alter table calls add column job_id uuid references jobs (id)"
    ),
    "constraints with a made-up name": (
        "alter table jobs add constraint jobs_title_check1 check (title <> 'x')"
    ),
    "columns that cannot use an index under row level security": (
        "alter table jobs add column price numeric"
    ),
    "triggers that are disabled": "alter table jobs disable trigger feed_update",
    "portal tables without all feed and audit triggers": "drop trigger feed_delete on jobs",
}


@pytest.mark.parametrize("rule", RULES)
async def test_the_rule_finds_a_planted_fault(migrated: Database, rule: str) -> None:
    connection = await asyncpg.connect(migrated.url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(FAULTS[rule])
        assert await broken(connection, rule) != []
    finally:
        await transaction.rollback()
        await connection.close()


async def test_a_second_apply_changes_nothing(empty_database: Database) -> None:
    folder = ROOT / "supabase" / "migrations"
    connection = await asyncpg.connect(empty_database.url)
    try:
        before = await connection.fetch(SECURITY)
        history = "select count(*) from supabase_migrations.schema_migrations"
        assert await connection.fetchval(history) == len(list(folder.glob("*.sql")))
        await apply_migrations(empty_database.url, folder)
        assert await connection.fetch(SECURITY) == before
        assert await connection.fetchval(history) == len(list(folder.glob("*.sql")))
    finally:
        await connection.close()


async def test_the_publication_holds_the_portal_tables_and_the_log(migrated: Database) -> None:
    connection = await asyncpg.connect(migrated.url)
    try:
        assert await connection.fetchval(PUBLICATION) == [
            "customers", "invoices", "jobs", "loyalty_transactions", "messages", "sync_changes",
        ]  # fmt: skip
        identities = await connection.fetch(
            "select relname from pg_class where relnamespace = 'public'::regnamespace "
            "and relkind = 'r' and relreplident <> 'd'"
        )
        assert identities == []
    finally:
        await connection.close()
