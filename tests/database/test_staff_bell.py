"""The staff's bell rings once for a transaction that wrote to the activity log."""

from __future__ import annotations

import pytest

from tests.database.callers import Connection, call
from tests.support.personas import acting_as

RINGS = "select topic, count(*)::int as n from realtime.messages group by topic"
JOB = "d0000000-0000-4000-8000-000000000801"
UNKNOWN = "d0000000-0000-4000-8000-00000000ffff"
STAFF = "staff:activity"


async def rings(db: Connection) -> dict[str, int]:
    """Return how often each topic has been rung."""
    return {row["topic"]: row["n"] for row in await db.fetch(RINGS)}


@pytest.mark.parametrize(
    "sql",
    [
        f"update jobs set title = 'x' where id = '{JOB}' and version = 99",
        f"update jobs set title = 'x' where id = '{UNKNOWN}'",
        f"update jobs set title = title where id = '{JOB}'",
        "update customers set phone = phone",
        "update leads set score = 1 where customer_id is null",
        "insert into messages (customer_id, body) select id, 'x' from customers where id is null",
        f"insert into jobs (id, customer_id, title) select id, customer_id, title from jobs "
        f"where id = '{JOB}' on conflict (id) do nothing",
        "select soft_delete('jobs', 'd0000000-0000-4000-8000-000000000801')",
        "select mark_overdue_invoices('2000-01-01')",
    ],
)
async def test_what_changes_nothing_rings_for_nobody(db: Connection, sql: str) -> None:
    """Not the staff, not a customer; the log has no more entries either."""
    await call(db, "manager", "select soft_delete('jobs', $1)", JOB)
    before = await rings(db), await db.fetchval("select max(id) from activity_log")
    await call(db, "manager", sql)
    assert (await rings(db), await db.fetchval("select max(id) from activity_log")) == before


@pytest.mark.parametrize(
    "sql",
    [
        f"update jobs set title = 'x' where id = '{JOB}'",
        "update customers set phone = 'x'",
        "insert into messages (customer_id, body) select id, 'x' from customers",
        "select set_customer_secret('c0000000-0000-4000-8000-000000000001', 'iban', "
        "'v1.k1.' || repeat('a', 60))",
        "select create_portal_invite('c0000000-0000-4000-8000-000000000150')",
    ],
)
async def test_a_transaction_that_changes_rows_rings_once(db: Connection, sql: str) -> None:
    """However many they are, and in whichever way they are written."""
    before = (await rings(db)).get(STAFF, 0)
    await call(db, "manager", sql)
    assert (await rings(db))[STAFF] == before + 1


async def test_many_statements_ring_once_and_an_undone_one_not_at_all(db: Connection) -> None:
    """One that changed nothing, or was undone to a savepoint, takes no ring from a later one."""
    before = (await rings(db)).get(STAFF, 0)
    async with db.transaction():
        await acting_as(db, "manager")
        await db.execute(f"update jobs set title = 'x' where id = '{UNKNOWN}'")
        undone = db.transaction()
        await undone.start()
        await db.execute(f"update jobs set title = 'x' where id = '{JOB}'")
        await undone.rollback()
        assert (await db.fetchval(f"select title from jobs where id = '{JOB}'")) != "x"
    assert (await rings(db)).get(STAFF, 0) == before
    async with db.transaction():
        await acting_as(db, "manager")
        undone = db.transaction()
        await undone.start()
        await db.execute(f"update jobs set title = 'x' where id = '{JOB}'")
        await undone.rollback()
        for title in ("y", "z"):
            await db.execute(f"update jobs set title = $1 where id = '{JOB}'", title)
    assert (await rings(db))[STAFF] == before + 1


async def test_the_owner_who_writes_to_the_log_rings(db: Connection) -> None:
    """The bell belongs to the log, not to those who write there today."""
    before = (await rings(db)).get(STAFF, 0)
    await db.execute(
        "insert into activity_log (table_name, row_id, op, row_version, actor_kind) "
        "select 'jobs', $1, 'update', n, 'system' from generate_series(2, 5) as n",
        JOB,
    )
    assert (await rings(db))[STAFF] == before + 1
