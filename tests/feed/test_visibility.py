"""Leaving a slice is an event, and what was taken back is not readable in the log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.feed.oracle import Connection, faults_of_feed
from tests.support.cluster import Database
from tests.support.personas import acting_as, customer_id

A, B = customer_id(1), customer_id(2)
JOB = "d0000000-0000-4000-8000-000000900009"


@pytest.fixture
async def db(database: Database) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database.url)
    yield connection
    await connection.close()


async def entries(db: Connection, customer: str, row_id: str = JOB) -> list[tuple[str, int, bool]]:
    """Return (op, version, has payload) of a row's entries in a customer's scope, in order."""
    records = await db.fetch(
        'select op, version, "row" is not null as readable from sync_changes '
        "where scope = $1 and row_id = $2 order by n",
        f"customer:{customer}",
        row_id,
    )
    return [(r["op"], r["version"], r["readable"]) for r in records]


async def add_job(db: Connection) -> None:
    await db.execute("insert into jobs (id, customer_id, title) values ($1, $2, 'x')", JOB, A)


async def hide(db: Connection, *, hidden: bool) -> None:
    await db.execute(
        "update jobs set deleted_at = case when $2 then now() end where id = $1", JOB, hidden
    )


async def move(db: Connection, customer: str) -> None:
    await db.execute("update jobs set customer_id = $2 where id = $1", JOB, customer)


async def test_the_seed_is_in_the_feed(db: Connection) -> None:
    assert await faults_of_feed(db) == []
    assert await db.fetchval("select count(*) from sync_changes") > 5000


async def test_hiding_removes_and_blanks_and_showing_again_upserts(db: Connection) -> None:
    await add_job(db)
    await hide(db, hidden=True)
    assert await entries(db, A) == [("upsert", 1, False), ("remove", 2, False)]
    await hide(db, hidden=False)
    assert (await entries(db, A))[-1] == ("upsert", 3, True)
    assert await faults_of_feed(db) == []


async def test_moving_removes_from_the_old_customer_and_upserts_to_the_new(db: Connection) -> None:
    await add_job(db)
    await move(db, B)
    assert await entries(db, A) == [("upsert", 1, False), ("remove", 2, False)]
    assert await entries(db, B) == [("upsert", 2, True)]
    await move(db, A)
    assert await entries(db, B) == [("upsert", 2, False), ("remove", 3, False)]
    assert await faults_of_feed(db) == []


async def test_hiding_and_moving_twice_in_one_transaction_leaks_nothing(db: Connection) -> None:
    async with db.transaction():
        await add_job(db)
        await hide(db, hidden=True)
        await hide(db, hidden=False)
        await move(db, B)
        await move(db, A)
        await move(db, B)
        await hide(db, hidden=True)
        await hide(db, hidden=False)
    assert await faults_of_feed(db) == []
    assert [entry[0] for entry in await entries(db, A)] == [
        "upsert", "remove", "upsert", "remove", "upsert", "remove",
    ]  # fmt: skip
    assert [readable for _op, _version, readable in await entries(db, A)] == [False] * 6
    assert (await entries(db, B))[-1] == ("upsert", 8, True)


async def test_a_row_that_is_hard_deleted_is_removed_with_a_higher_version(db: Connection) -> None:
    await add_job(db)
    await db.execute("delete from jobs where id = $1", JOB)
    assert await entries(db, A) == [("upsert", 1, False), ("remove", 2, False)]
    assert await faults_of_feed(db) == []


async def test_a_draft_enters_the_feed_when_it_is_sent(db: Connection) -> None:
    async with db.transaction():
        await acting_as(db, "agent")
        made = json.loads(
            await db.fetchval(
                "select to_jsonb(i) from create_invoice($1, $2) i",
                json.dumps({"customer_id": A}),
                json.dumps([{"description": "Work", "unit_price_cents": 100, "quantity": 3}]),
            )
        )
    assert made["total_cents"] == 300
    assert await entries(db, A, made["id"]) == []
    await db.execute("update invoices set status = 'sent' where id = $1", made["id"])
    assert [op for op, _version, _readable in await entries(db, A, made["id"])] == ["upsert"]
    assert await faults_of_feed(db) == []


async def test_an_update_that_changes_nothing_is_no_change(db: Connection) -> None:
    await add_job(db)
    before = await db.fetchval("select n from sync_scopes where scope = $1", f"customer:{A}")
    await db.execute("update jobs set title = title, version = 99 where id = $1", JOB)
    row = await db.fetchrow(
        "select version, updated_at = created_at as same from jobs where id = $1", JOB
    )
    assert row is not None
    assert (row["version"], row["same"]) == (1, True)
    after = await db.fetchval("select n from sync_scopes where scope = $1", f"customer:{A}")
    assert after == before


async def test_a_rolled_back_savepoint_leaves_no_entry(db: Connection) -> None:
    async with db.transaction():
        inner = db.transaction()
        await inner.start()
        await add_job(db)
        await inner.rollback()
        await db.execute("update customers set phone = '1' where id = $1", B)
    assert await entries(db, A) == []
    assert await faults_of_feed(db) == []


async def test_writes_after_immediate_constraints_are_in_the_feed_too(db: Connection) -> None:
    async with db.transaction():
        await add_job(db)
        await db.execute("set constraints all immediate")
        await db.execute("update jobs set title = 'y' where id = $1", JOB)
        await db.execute("set constraints all deferred")
        await move(db, B)
        await hide(db, hidden=True)
    assert await faults_of_feed(db) == []
    assert [op for op, _v, _r in await entries(db, A)] == ["upsert", "upsert", "remove"]


async def test_erasing_a_customer_erases_scope_log_and_history(db: Connection) -> None:
    await db.execute("delete from customers where id = $1", A)
    scope = f"customer:{A}"
    assert await db.fetchval("select count(*) from sync_scopes where scope = $1", scope) == 0
    assert await db.fetchval("select count(*) from sync_changes where scope = $1", scope) == 0
    ring = json.loads(
        await db.fetchval(
            "select payload from realtime.messages where topic = $1 "
            "order by inserted_at desc limit 1",
            scope,
        )
    )
    assert (ring["epoch"], ring["n"]) == (None, 0)
    log = await db.fetch("select op, old, new from activity_log where customer_id = $1", A)
    assert [tuple(r) for r in log] == [("delete", None, None)]
    assert await faults_of_feed(db) == []


async def test_a_customer_inserted_anew_after_erasure_begins_a_new_epoch(db: Connection) -> None:
    scope = f"customer:{A}"
    epoch = await db.fetchval("select epoch from sync_scopes where scope = $1", scope)
    async with db.transaction():
        await db.execute("delete from customers where id = $1", A)
        await db.execute("insert into customers (id, name) values ($1, 'anew')", A)
    head = await db.fetchrow("select * from sync_scopes where scope = $1", scope)
    assert head is not None
    assert head["epoch"] != epoch
    assert 0 < head["floor"] < head["n"]
    rest = await db.fetch(
        "select n, table_name, op from sync_changes where scope = $1 order by n", scope
    )
    assert [r["n"] for r in rest] == list(range(head["floor"] + 1, head["n"] + 1))
    assert (rest[-1]["table_name"], rest[-1]["op"]) == ("customers", "upsert")


async def test_the_doorbell_rings_once_per_scope_and_transaction_without_row_data(
    db: Connection,
) -> None:
    count = "select count(*) from realtime.messages where topic = $1"
    before = await db.fetchval(count, f"customer:{A}")
    async with db.transaction():
        await add_job(db)
        await db.execute("update jobs set title = 'secret title' where id = $1", JOB)
        await db.execute("update customers set phone = '77' where id = $1", A)
    assert await db.fetchval(count, f"customer:{A}") == before + 1
    ring = await db.fetchrow(
        "select payload, event, private from realtime.messages where topic = $1 "
        "order by inserted_at desc limit 1",
        f"customer:{A}",
    )
    assert ring is not None
    head = await db.fetchrow("select * from sync_scopes where scope = $1", f"customer:{A}")
    assert head is not None
    payload = json.loads(ring["payload"])
    assert (ring["event"], ring["private"]) == ("sync", True)
    assert (payload["epoch"], payload["n"]) == (str(head["epoch"]), head["n"])
    assert set(payload) <= {"epoch", "n", "id"}
