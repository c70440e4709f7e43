"""Any story of writes leaves a feed that is dense, complete, and leaks nothing."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.feed.oracle import Connection, faults_of_feed
from tests.support.cluster import MIGRATED, Database, TestCluster

ROWS = 4
CUSTOMERS = 3
Step = tuple[str, int, int]
VERBS = (
    "add job", "title", "hide", "show", "move", "delete", "draft", "send", "void", "say", "unsay",
    "read", "points", "close", "open", "erase", "immediate", "deferred", "nothing",
)  # fmt: skip
STEPS = st.tuples(st.sampled_from(VERBS), st.integers(0, ROWS - 1), st.integers(0, CUSTOMERS - 1))
# A part is what a savepoint holds; False: it is rolled back.
PARTS = st.tuples(st.booleans(), st.lists(STEPS, min_size=1, max_size=6))
TRANSACTIONS = st.tuples(st.booleans(), st.lists(PARTS, min_size=1, max_size=3))
STORIES = st.lists(TRANSACTIONS, min_size=1, max_size=5)


@pytest.fixture(scope="module")
def shared(cluster: TestCluster) -> Iterator[Database]:
    """One database for all stories; each has customers and rows of its own."""
    database = cluster.clone(MIGRATED, "stories")
    yield database
    cluster.drop(database)


class Teller:
    """Turns steps into SQL on rows of its own."""

    def __init__(self, db: Connection) -> None:
        self.db = db
        self.customers = [str(uuid.uuid4()) for _ in range(CUSTOMERS)]
        self.rows = [str(uuid.uuid4()) for _ in range(ROWS)]

    async def begin(self) -> None:
        await self.db.executemany(
            "insert into customers (id, name) values ($1, 'x')", [(c,) for c in self.customers]
        )

    async def tell(self, step: Step) -> None:
        verb, row_place, customer_place = step
        row, customer = self.rows[row_place], self.customers[customer_place]
        there = f"(select id from customers where id = '{customer}')"
        sql = {
            "add job": f"insert into jobs (id, customer_id, title) select '{row}', id, 'a' "
            f"from customers where id = '{customer}' on conflict do nothing",
            "title": f"update jobs set title = title || '.' where id = '{row}'",
            "hide": f"update jobs set deleted_at = now() where id = '{row}'",
            "show": f"update jobs set deleted_at = null where id = '{row}'",
            "move": f"update jobs set customer_id = '{customer}' where id = '{row}' "
            f"and exists {there}",
            "delete": f"delete from jobs where id = '{row}'",
            "draft": f"insert into invoices (id, customer_id) select '{row}', id from customers "
            f"where id = '{customer}' on conflict do nothing; insert into invoice_items "
            "(invoice_id, customer_id, position, description, unit_price_cents) select id, "
            f"customer_id, 1, 'x', 5 from invoices where id = '{row}' and status = 'draft' "
            "and lines = '[]'",
            "send": f"update invoices set status = 'sent' where id = '{row}' "
            "and status = 'draft' and jsonb_array_length(lines) > 0",
            "void": f"update invoices set status = 'void' where id = '{row}' and status = 'sent'",
            "say": f"insert into messages (id, customer_id, body) select '{row}', id, 'hello' "
            f"from customers where id = '{customer}' on conflict do nothing",
            "unsay": f"update messages set deleted_at = now() where id = '{row}'",
            "read": f"update messages set read_at = coalesce(read_at, now()) where id = '{row}'",
            "points": f"insert into loyalty_transactions (customer_id, points, kind) "
            f"select id, 5, 'award' from customers where id = '{customer}'",
            "close": f"update customers set deleted_at = now() where id = '{customer}'",
            "open": f"update customers set deleted_at = null where id = '{customer}'",
            "erase": f"delete from customers where id = '{customer}'; "
            f"insert into customers (id, name) values ('{customer}', 'again')",
            "immediate": "set constraints all immediate",
            "deferred": "set constraints all deferred",
            "nothing": f"update jobs set title = title where id = '{row}'",
        }[verb]
        await self.db.execute(sql)

    async def transaction(self, parts: list[tuple[bool, list[Step]]], *, kept: bool) -> None:
        outer = self.db.transaction()
        await outer.start()
        for part_kept, steps in parts:
            inner = self.db.transaction()
            await inner.start()
            for step in steps:
                await self.tell(step)
            await (inner.commit() if part_kept else inner.rollback())
        await (outer.commit() if kept else outer.rollback())


async def faults_after(
    url: str, story: list[tuple[bool, list[tuple[bool, list[Step]]]]]
) -> list[str]:
    db = await asyncpg.connect(url)
    try:
        teller = Teller(db)
        await teller.begin()
        for kept, parts in story:
            await teller.transaction(parts, kept=kept)
        own = tuple(f"customer:{customer}" for customer in teller.customers)
        faults = await faults_of_feed(db)
        await db.execute("delete from customers where id = any($1)", teller.customers)
    finally:
        await db.close()
    return [fault for fault in faults if fault.startswith(own)]


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=STORIES)
def test_any_story_leaves_a_right_feed(
    shared: Database, story: list[tuple[bool, list[tuple[bool, list[Step]]]]]
) -> None:
    assert asyncio.run(faults_after(shared.url, story)) == []
