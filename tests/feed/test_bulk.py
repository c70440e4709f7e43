"""Many rows over many customers in one transaction: complete, dense, one ring per scope."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.feed.oracle import Connection, faults_of_feed
from tests.support.cluster import Database

CUSTOMERS = 1000
ROWS = 10_000


@pytest.fixture
async def db(empty_database: Database) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(empty_database.url)
    await connection.execute(
        "insert into customers (id, name) select gen_random_uuid(), 'x' "
        "from generate_series(1, $1::int)",
        CUSTOMERS,
    )
    yield connection
    await connection.close()


async def rings(db: Connection) -> int:
    heard = "select count(*) from realtime.messages where topic like 'customer:%'"
    return int(await db.fetchval(heard))


@pytest.mark.slow
async def test_bulk_writes_are_complete_and_ring_once_per_scope(db: Connection) -> None:
    heard = await rings(db)
    assert heard == CUSTOMERS
    for sql in (
        f"insert into jobs (customer_id, title) select c.id, 'job ' || i from customers c, "
        f"generate_series(1, {ROWS // CUSTOMERS}) i order by random()",
        "update jobs set title = title || '.'",
        "update jobs set deleted_at = now() where id < '80000000-0000-4000-8000-000000000000'",
        "with t as (select array_agg(id) as ids from customers) update jobs set customer_id = "
        "t.ids[1 + floor(random() * cardinality(t.ids))::int] from t",
        "update jobs set deleted_at = null",
    ):
        touched = await db.fetchval("select sum(n) from sync_scopes")
        async with db.transaction():
            await db.execute(sql)
        assert await db.fetchval("select sum(n) from sync_scopes") > touched
        scopes = await db.fetchval(
            "select count(distinct scope) from sync_changes where committed_at > "
            "(select max(committed_at) from sync_changes) - interval '1 millisecond'"
        )
        assert scopes > 0
        now_heard = await rings(db)
        assert now_heard - heard <= CUSTOMERS
        heard = now_heard
    assert await db.fetchval("select count(*) from jobs") == ROWS
    assert await faults_of_feed(db) == []


@pytest.mark.slow
async def test_erasing_many_customers_leaves_no_trace(db: Connection) -> None:
    await db.execute("insert into jobs (customer_id, title) select id, 'x' from customers")
    await db.execute("delete from customers where id < '80000000-0000-4000-8000-000000000000'")
    assert await faults_of_feed(db) == []
    gone = await db.fetchval(
        "select count(*) from sync_scopes where scope < 'customer:8' or scope in "
        "(select scope from sync_changes where scope < 'customer:8')"
    )
    assert gone == 0
