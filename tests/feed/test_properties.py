"""Any story of writes leaves a feed that is dense, complete, and leaks nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.feed.oracle import Connection, faults_of_feed
from tests.feed.steps import CUSTOMERS, ROWS, VERBS, Cast, Step
from tests.support.cluster import MIGRATED, Database, TestCluster

STORY_VERBS = (*VERBS, "erase", "immediate", "deferred")
STEPS = st.tuples(
    st.sampled_from(STORY_VERBS), st.integers(0, ROWS - 1), st.integers(0, CUSTOMERS - 1)
)
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
        self.cast = Cast()

    async def begin(self) -> None:
        await self.db.executemany(
            "insert into customers (id, name) values ($1, 'x')",
            [(c,) for c in self.cast.customers],
        )

    async def tell(self, step: Step) -> None:
        await self.db.execute(self.cast.sql(step))

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
        own = tuple(f"customer:{customer}" for customer in teller.cast.customers)
        faults = await faults_of_feed(db)
        await db.execute("delete from customers where id = any($1)", teller.cast.customers)
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
