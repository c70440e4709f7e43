"""When the log alone cannot be trusted: truncation, sleeping triggers, deadlocks."""

from __future__ import annotations

import asyncio
import json
import random
import uuid

import asyncpg
import pytest

from tests.feed.oracle import Connection, faults_of_feed
from tests.feed.writers import add_customers
from tests.support.cluster import Database
from tests.support.personas import customer_id

A = customer_id(1)
SCOPE = f"customer:{A}"


async def head_of(db: Connection, scope: str = SCOPE) -> dict[str, object]:
    answer: dict[str, object] = json.loads(await db.fetchval("select portal_head($1)", scope))
    return answer


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("update jobs set title = 'silent' where customer_id = $1", "jobs"),
        ("delete from messages where customer_id = $1", "messages"),
        ("insert into jobs (customer_id, title) values ($1, 'silent')", "jobs"),
        ("update customers set phone = 'silent' where id = $1", "customers"),
        ("update invoices set notes = 'silent' where customer_id = $1", "invoices"),
    ],
)
async def test_the_digest_notices_writes_past_sleeping_feed_triggers(
    database: Database, sql: str, table: str
) -> None:
    db = await asyncpg.connect(database.url)
    try:
        before = await head_of(db)
        async with db.transaction():
            for verb in ("insert", "update", "delete"):
                await db.execute(f"alter table {table} disable trigger feed_{verb}")
            await db.execute(sql, A)
            for verb in ("insert", "update", "delete"):
                await db.execute(f"alter table {table} enable trigger feed_{verb}")
        after = await head_of(db)
        assert after["n"] == before["n"]
        changed = {
            name
            for name, digest in dict(before["digest"]).items()  # type: ignore[call-overload]
            if digest != after["digest"][name]  # type: ignore[index]
        }
        assert changed == {table}
    finally:
        await db.close()


async def retry_until_done(db: Connection, customers: list[str], dice: random.Random) -> int:
    """Update shared rows in random order; on a deadlock do it again. Return the deadlocks met."""
    deadlocks = 0
    while True:
        chosen = dice.sample(customers, 4)
        try:
            async with db.transaction():
                for customer in chosen:
                    await db.execute(
                        "update customers set phone = $2 where id = $1",
                        customer,
                        str(dice.random()),
                    )
                    await db.execute("select pg_sleep(0.002)")
                await db.execute(
                    "insert into jobs (customer_id, title) values ($1, $2)",
                    chosen[0],
                    str(uuid.UUID(int=dice.getrandbits(128))),
                )
        except asyncpg.DeadlockDetectedError:
            deadlocks += 1
        else:
            return deadlocks


async def test_writers_that_deadlock_by_themselves_and_retry_leave_a_right_feed(
    empty_database: Database,
) -> None:
    admin = await asyncpg.connect(empty_database.admin_url)
    await admin.execute(f'alter database "{empty_database.name}" set deadlock_timeout = 20')
    await admin.close()
    connections = [await asyncpg.connect(empty_database.url) for _ in range(8)]
    try:
        customers, _messages = await add_customers(connections[0], 6)

        async def write(place: int, db: Connection) -> int:
            dice = random.Random(place)
            return sum([await retry_until_done(db, customers, dice) for _ in range(8)])

        met = await asyncio.gather(*(write(i, db) for i, db in enumerate(connections)))
        assert sum(met) > 0, "no deadlock, nothing proved"
        assert await connections[0].fetchval("select count(*) from jobs") == 8 * 8
        assert await faults_of_feed(connections[0]) == []
    finally:
        for connection in connections:
            await connection.close()
