"""Members of staff who write all the time, in every order that commits can come in (F7, F8)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from tests.faults.counters import Counters

Database = Any
RETRIES = 50
AWAY = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What a writer meets whose server is killed, or whose transaction loses a deadlock."""


class Staff:
    """Several writers on one customer's rows.

    Attributes:
        jobs: Ids of the jobs that the customer sees.
        secret: Written into whatever the customer must never receive.
    """

    def __init__(
        self, account: Any, other: Any, chance: random.Random, counters: Counters,
        *, secret: str, on_commit: Callable[[int], None],
    ) -> None:  # fmt: skip
        self.jobs: list[Any] = []
        self.secret = secret
        self._account, self._other = account, other
        self._random = chance
        self._counters = counters
        self._on_commit = on_commit
        self._open_count = 0
        self._at_work = asyncio.Event()
        self._at_work.set()
        self._resting: set[int] = set()
        self._rested = asyncio.Event()
        self._work: list[tuple[float, Callable[[Database, int], Awaitable[None]]]] = [
            (0.55, self._rename),
            (0.10, self._rename_slowly),
            (0.08, self._add),
            (0.04, self._show_and_take_back),
            (0.03, self._hide_and_show_again),
            (0.05, self._move_away_and_back),
            (0.04, self._take_back),
            (0.03, self._undo_half),
            (0.04, self._rename_two_customers),
            (0.04, self._number_early),
        ]

    async def prepare(self) -> None:
        """Make what there is to write on, and secrets beside it that staff alone may read."""
        for _ in range(6):
            self.jobs.append(await self._account.add_job())
        self._others_job = await self._other.add_job(self.secret)
        await self._account.database.execute(
            "insert into job_notes (job_id, body) values ($1, $2)", self.jobs[0], self.secret
        )

    async def write(self, count: int, *, writer: int) -> None:
        """Make so many transactions, one after the other."""
        database = await asyncpg.connect(self._account.stack.database_url)
        try:
            for number in range(count):
                await self._rest(writer)
                database = await self._once(database, number)
                self._counters.writes += 1
                if number % 8 == 0:
                    await asyncio.sleep(self._random.random() * 0.2)
        finally:
            self._resting.discard(writer)
            await database.close()

    async def stop(self, writers: int) -> None:
        """Wait until so many writers are between two transactions; they stay there."""
        self._at_work.clear()
        while len(self._resting) < writers:
            self._rested.clear()
            await self._rested.wait()

    def go_on(self) -> None:
        """Let the writers write again."""
        self._at_work.set()

    def finish(self, writer: int) -> None:
        """Count a writer that has ended as one that rests."""
        self._resting.add(writer)
        self._rested.set()

    async def _rest(self, writer: int) -> None:
        if not self._at_work.is_set():
            self.finish(writer)
            await self._at_work.wait()
            self._resting.discard(writer)

    async def _once(self, database: Database, number: int) -> Database:
        for _attempt in range(RETRIES):
            work = self._random.choices(
                [each for _, each in self._work], [share for share, _ in self._work]
            )[0]
            self._counters.overlaps += self._open_count > 0
            self._open_count += 1
            try:
                await work(database, number)
                n = await database.fetchval(
                    "select n from sync_scopes where scope = $1", self._account.scope
                )
            except AWAY as error:
                if isinstance(error, asyncpg.InternalClientError):
                    database.terminate()  # the driver lost count while the server died
                database = await _connected(database, self._account.stack.database_url)
            else:
                self._on_commit(n)
                return database
            finally:
                self._open_count -= 1
        return database

    # One transaction each.

    async def _rename(self, database: Database, number: int) -> None:
        await database.execute(
            "update jobs set title = $2 where id = $1", self._any_job(), f"t{number}"
        )

    async def _rename_slowly(self, database: Database, number: int) -> None:
        """Others commit between this statement and its commit."""
        async with database.transaction():
            await self._rename(database, number)
            await asyncio.sleep(self._random.random() * 0.02)

    async def _add(self, database: Database, _number: int) -> None:
        made = await database.fetchval(
            "insert into jobs (customer_id, title) values ($1, 'new') returning id",
            self._account.customer_id,
        )
        self.jobs.append(made)

    async def _show_and_take_back(self, database: Database, _number: int) -> None:
        """Shown and taken back within one transaction: gone for good."""
        job = self._take_job()
        if job is None:
            return
        async with database.transaction():
            await database.execute("update jobs set title = 'last' where id = $1", job)
            await database.execute("update jobs set deleted_at = now() where id = $1", job)

    async def _hide_and_show_again(self, database: Database, _number: int) -> None:
        """Out of sight and back, twice in one transaction."""
        job = self._any_job()
        async with database.transaction():
            for _ in range(2):
                await database.execute("update jobs set deleted_at = now() where id = $1", job)
                await database.execute("update jobs set deleted_at = null where id = $1", job)

    async def _move_away_and_back(self, database: Database, _number: int) -> None:
        """To another customer with a secret in it and back, twice: a leak if it shows."""
        job = self._any_job()
        async with database.transaction():
            for _ in range(2):
                for owner, text in ((self._other, self.secret), (self._account, None)):
                    await database.execute(
                        "update jobs set customer_id = $2, description = $3 where id = $1",
                        job, owner.customer_id, text,
                    )  # fmt: skip

    async def _take_back(self, database: Database, _number: int) -> None:
        """Rolled back: nobody may ever see it."""
        transaction = database.transaction()
        await transaction.start()
        await database.execute(
            "update jobs set description = $2 where id = $1", self._any_job(), self.secret
        )
        await transaction.rollback()

    async def _undo_half(self, database: Database, number: int) -> None:
        """One half of a transaction is undone by a savepoint."""
        async with database.transaction():
            await self._rename(database, number)
            undone = database.transaction()
            await undone.start()
            await database.execute(
                "update jobs set description = $2 where id = $1", self._any_job(), self.secret
            )
            await undone.rollback()

    async def _rename_two_customers(self, database: Database, number: int) -> None:
        """Rows of two customers in a random order; a deadlock is tried again."""
        both = [(self._any_job(), f"t{number}"), (self._others_job, self.secret)]
        self._random.shuffle(both)
        async with database.transaction():
            for job, title in both:
                await database.execute("update jobs set title = $2 where id = $1", job, title)

    async def _number_early(self, database: Database, number: int) -> None:
        """The deferred triggers run in the middle, and again at commit."""
        async with database.transaction():
            await self._rename(database, number)
            await database.execute("set constraints all immediate")
            await database.execute("set constraints all deferred")
            await self._rename(database, number)

    def _any_job(self) -> Any:
        return self._random.choice(self.jobs)

    def _take_job(self) -> Any:
        if len(self.jobs) <= 3:
            return None
        return self.jobs.pop(self._random.randrange(len(self.jobs)))


async def _connected(database: Database, url: str) -> Database:
    """Return a connection that works; the server may be away for a while."""
    deadline = time.monotonic() + 60
    while database.is_closed():
        try:
            return await asyncpg.connect(url)
        except AWAY:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
    return database
