"""A row is deleted at the version that was seen, also one that the caller may not lock."""

from __future__ import annotations

import pytest

from tests.database.callers import Connection, call, refusal
from tests.database.waiting import begun, outcome, two_sessions, waiting
from tests.support.cluster import Database
from tests.support.personas import acting_as, customer_id

A = customer_id(1)
MESSAGE = "f0000000-0000-4000-8000-00000000aa01"
JOB = "d0000000-0000-4000-8000-00000000aa01"
INSERT = {
    "messages": f"insert into messages (id, customer_id, body) values ('{MESSAGE}', '{A}', 'x')",
    "jobs": f"insert into jobs (id, customer_id, title) values ('{JOB}', '{A}', 'x')",
}
CHANGE = {
    "messages": f"update messages set read_at = now() where id = '{MESSAGE}'",
    "jobs": f"update jobs set title = 'y' where id = '{JOB}'",
}
ROW = {"messages": MESSAGE, "jobs": JOB}
DELETE = "select delete_row($1, $2, $3)"
EACH = pytest.mark.parametrize("table", INSERT)


@EACH
async def test_a_stale_version_is_refused_and_a_present_one_deletes(
    db: Connection, table: str
) -> None:
    """Repeated, the deletion changes nothing, whichever version is named."""
    await call(db, "agent", INSERT[table])
    stale = ("PS003", "the row has changed since version 7")
    assert await refusal(db, "agent", DELETE, table, ROW[table], 7) == stale
    row = await call(db, "agent", DELETE, table, ROW[table], 1)
    assert (row["version"], row["deleted_at"] is None) == (2, False)
    for version in (1, 2, 7, None):
        assert await call(db, "agent", DELETE, table, ROW[table], version) == row


@EACH
async def test_a_deletion_waits_for_a_change_and_is_refused(database: Database, table: str) -> None:
    """What was seen is compared with what is there once the row is free."""
    async with two_sessions(database) as (writer, deleter):
        await call(writer, "agent", INSERT[table])
        deleting = await begun(deleter)
        await acting_as(deleter, "agent")
        changing = await begun(writer)
        await acting_as(writer, "customer_a" if table == "messages" else "agent")
        await writer.execute(CHANGE[table])
        await writer.execute("reset role")
        deleted = await waiting(writer, deleter, deleter.execute(DELETE, table, ROW[table], 1))
        await changing.commit()
        assert await deleted == "PS003 the row has changed since version 1"
        await deleting.rollback()
        kept = await writer.fetchrow(f"select * from {table} where id = $1", ROW[table])
        assert kept is not None
        assert (kept["version"], kept["deleted_at"]) == (2, None)


@EACH
async def test_of_two_deletions_at_one_version_both_are_told_the_same(
    database: Database, table: str
) -> None:
    """The second one finds the row deleted, which is what it wanted."""
    async with two_sessions(database) as (first, second):
        await call(first, "agent", INSERT[table])
        deleting = await begun(first)
        await first.execute(DELETE, table, ROW[table], 1)
        deleted = await waiting(first, second, second.execute(DELETE, table, ROW[table], 1))
        await deleting.commit()
        assert await deleted == "done"
        assert await first.fetchval(f"select version from {table} where id = $1", ROW[table]) == 2


@EACH
@pytest.mark.parametrize("who", ["customer_a", "inactive"])
@pytest.mark.parametrize("version", [None, 1, 7])
async def test_others_learn_no_version(
    db: Connection, table: str, who: str, version: int | None
) -> None:
    """The right is asked for first."""
    await call(db, "agent", INSERT[table])
    refused = await refusal(db, who, DELETE, table, ROW[table], version)
    assert refused == ("42501", "only staff may delete rows")


async def test_a_customers_words_are_not_deleted(db: Connection) -> None:
    """Whatever version is named; an unknown row is said to be unknown."""
    theirs = await db.fetchval("select id from messages where sender = 'customer' limit 1")
    for version in (None, await db.fetchval("select version from messages where id = $1", theirs)):
        refused = await outcome(call(db, "agent", DELETE, "messages", theirs, version))
        assert refused == "23514 this row of messages may not be deleted"
        refused = await outcome(call(db, "agent", DELETE, "messages", MESSAGE, version))
        assert refused == "PT404 no such row"
