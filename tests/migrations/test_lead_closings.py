"""The upgrade of a database in use: leads that were closed before closed_at was there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local_stack.postgres.migrate import apply_migrations, apply_seed
from tests.database.callers import Connection, call, connect
from tests.support.cluster import REPOSITORY, Database
from tests.support.personas import AGENT, customer_id

SUPABASE = REPOSITORY / "supabase"
FIRST = "20261222000500"
IMPORT = """
    insert into leads (customer_id, status, assigned_to, created_at) values ($1, $2, $3, $4)"""
IMPORTED_AT = datetime(2024, 3, 10, 12, tzinfo=UTC)
CLOSED, TWICE, IMPORTED, UNLOGGED, UNTRUE, OPEN = (customer_id(i) for i in range(150, 156))
# Everything of a lead but the new column; and what a write leaves behind.
KEPT = "select (to_jsonb(l) - 'closed_at')::text from leads as l order by l.customer_id"
TRACES = """
    select (select count(*) from activity_log), (select count(*) from realtime.messages),
        (select count(*) from sync_changes)"""
LOGGED_AT = """
    select at from activity_log where row_id = $1 and new ->> 'status' = $2
    order by id desc limit 1"""
TRIGGERS = """
    select tgname, tgenabled::text as enabled from pg_trigger
    where tgrelid = 'leads'::regclass and not tgisinternal"""


@pytest.fixture
async def db(bare_database: Database, tmp_path: Path) -> AsyncIterator[Connection]:
    """The database as it was before leads had closed_at, with the demo data."""
    for file in (SUPABASE / "migrations").iterdir():
        if file.name < FIRST:
            (tmp_path / file.name).symlink_to(file)
    await apply_migrations(bare_database.url, tmp_path)
    await apply_seed(bare_database.url, SUPABASE / "seed.sql")
    connection = await connect(bare_database)
    yield connection
    await connection.close()


async def edit(db: Connection, lead: str, sets: str) -> None:
    await call(db, "agent", f"update leads set {sets} where customer_id = $1", lead)


async def use(db: Connection) -> None:
    """Close leads in all the ways there are, and edit each of them afterwards."""
    for lead in (CLOSED, TWICE, UNLOGGED, UNTRUE, OPEN):
        made = "insert into leads (customer_id, assigned_to) values ($1, $2)"
        await call(db, "agent", made, lead, AGENT.uid)
    await db.execute(IMPORT, IMPORTED, "lost", AGENT.uid, IMPORTED_AT)
    for lead in (CLOSED, TWICE, UNLOGGED, UNTRUE):
        await edit(db, lead, "status = 'won'")
    await edit(db, TWICE, "status = 'contacted'")
    await edit(db, TWICE, "status = 'lost'")
    for lead in (CLOSED, TWICE, IMPORTED, UNLOGGED, UNTRUE, OPEN):
        await edit(db, lead, "score = 77")
    # What a log does not tell: it was pruned, or somebody wrote past it.
    await db.execute("alter table activity_log disable trigger user")
    await db.execute("delete from activity_log where row_id = $1", UNLOGGED)
    await db.execute("alter table activity_log enable trigger user")
    await db.execute("alter table leads disable trigger user")
    await db.execute("update leads set status = 'lost' where customer_id = $1", UNTRUE)
    await db.execute("alter table leads enable trigger user")


async def closings(db: Connection) -> dict[str, datetime | None]:
    rows = await db.fetch("select customer_id::text, closed_at from leads")
    return {row["customer_id"]: row["closed_at"] for row in rows}


async def triggers(db: Connection) -> dict[str, str]:
    return {row["tgname"]: row["enabled"] for row in await db.fetch(TRIGGERS)}


async def test_closed_leads_get_their_time_from_the_log_else_from_their_last_change(
    bare_database: Database, db: Connection
) -> None:
    await use(db)
    logged = {
        CLOSED: await db.fetchval(LOGGED_AT, CLOSED, "won"),
        TWICE: await db.fetchval(LOGGED_AT, TWICE, "lost"),
    }
    changed = {
        row["customer_id"]: row["updated_at"]
        for row in await db.fetch("select customer_id::text, updated_at from leads")
    }
    assert all(at < changed[lead] for lead, at in logged.items())
    await apply_migrations(bare_database.url, SUPABASE / "migrations")
    found = await closings(db)
    assert {lead: found[lead] for lead in (CLOSED, TWICE, IMPORTED, UNLOGGED, UNTRUE, OPEN)} == {
        **logged,
        IMPORTED: IMPORTED_AT,
        UNLOGGED: changed[UNLOGGED],
        UNTRUE: changed[UNTRUE],
        OPEN: None,
    }
    closed = await db.fetch("select customer_id::text from leads where status in ('won', 'lost')")
    assert {lead for lead, at in found.items() if at} == {row["customer_id"] for row in closed}


async def test_the_upgrade_leaves_versions_logs_and_bells_alone(
    bare_database: Database, db: Connection
) -> None:
    await use(db)
    # Somebody else's doing, which the migration is to leave as it is.
    await db.execute("alter table leads disable trigger n_refuse_score")
    kept, traces = await db.fetch(KEPT), await db.fetch(TRACES)
    before = await triggers(db)
    await apply_migrations(bare_database.url, SUPABASE / "migrations")
    assert await db.fetch(KEPT) == kept
    assert await db.fetch(TRACES) == traces
    assert await triggers(db) == {**before, "m_close": "O"}
    assert before["n_refuse_score"] == "D"
    await edit(db, CLOSED, "status = 'lost'")
    assert (await closings(db))[CLOSED] == await db.fetchval(LOGGED_AT, CLOSED, "lost")


async def test_a_lead_of_the_upgrade_is_restored_without_a_word_about_its_closing(
    bare_database: Database, db: Connection
) -> None:
    await use(db)
    await apply_migrations(bare_database.url, SUPABASE / "migrations")
    entries = (await call(db, "agent", "select row_history('leads', $1)", CLOSED))["entries"]
    restore = "select restore_row('leads', $1, $2)"
    restored = await call(db, "agent", restore, CLOSED, entries[-1]["id"])
    assert (restored["restored"], restored["not_restored"]) == (["score", "status"], [])
