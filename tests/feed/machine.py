"""A model of the feed: sessions that overlap step by step, readers that follow, `select` as oracle.

Every session waits 20 ms for a lock, so one thread can drive them all: whoever is blocked gives up.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import asyncpg

from tests.feed.oracle import Change, Connection, Replica, faults_of_feed, read_slices
from tests.feed.steps import Cast, Step, clashes
from tests.feed.test_handoff import take_snapshot
from tests.feed.writers import pull_once

SESSIONS = 3
IMPATIENT = "set lock_timeout = '20ms'"
PATIENT = "set lock_timeout = '20s'"
RETRIES = 50


@dataclass(slots=True)
class Session:
    """One connection and what its open transaction may hold."""

    db: Connection
    is_open: bool = False
    immediate: bool = False
    savepoints: int = 0
    held: set[str] = field(default_factory=set)

    def forget(self) -> None:
        """The transaction is over."""
        self.is_open, self.immediate, self.savepoints = False, False, 0
        self.held.clear()


async def pull_naively(db: Connection, scope: str, replica: Replica) -> None:
    """Read on with `seq > c` as the cursor, as a reader of a plain sequence would."""
    found = await db.fetch(
        "select * from sync_changes where scope = $1 and n > $2 order by n", scope, replica.last
    )
    for r in found:
        replica.last = r["n"] - 1  # the numbers of a sequence are not dense
        row = None if r["row"] is None else json.loads(r["row"])
        change = Change(r["n"], r["table_name"], str(r["row_id"]), r["op"], r["version"], row)
        replica.apply([change])


class World:
    """A database with sessions and readers of one example.

    Args:
        url: The database, as its owner.
        naive: Read with `seq > c` instead of `portal_pull`.
    """

    def __init__(self, url: str, *, naive: bool = False) -> None:
        self._url = url
        self._naive = naive
        self.cast = Cast()
        self.faults: list[str] = []
        self.blocked = 0
        self.deadlocks = 0

    async def open(self) -> None:
        """Connect, and insert the customers."""
        self.reader = await asyncpg.connect(self._url)
        self.sessions = [Session(await asyncpg.connect(self._url)) for _ in range(SESSIONS)]
        for session in self.sessions:
            await session.db.execute(IMPATIENT)
        await self.reader.executemany(
            "insert into customers (id, name) values ($1, 'x')",
            [(customer,) for customer in self.cast.customers],
        )
        self.scopes = [f"customer:{customer}" for customer in self.cast.customers]
        self.replicas = {scope: [Replica()] for scope in self.scopes}

    async def close(self) -> None:
        """End every transaction, read to the end, compare, leave nothing behind."""
        for session in self.sessions:
            await session.db.close()
        try:
            for place in range(len(self.scopes)):
                await self.read(place, 500)
            own = tuple(self.scopes)
            # Only now: the log of this example is still there.
            log = [f for f in await faults_of_feed(self.reader) if f.startswith(own)]
            if not self._naive:
                self.faults += log
                await self.reader.execute(
                    "delete from customers where id = any($1)", self.cast.customers
                )
        finally:
            await self.reader.close()

    def _may_wait(self, session: Session, wanted: set[str], *, flushes: bool) -> bool:
        """Tell whether somebody else's transaction is in the way of this statement."""
        others = [other for other in self.sessions if other is not session and other.is_open]
        if any(clashes(other.held, wanted) for other in others):
            return True
        return flushes and any(other.immediate for other in others)

    async def _run(self, session: Session, sql: str, wanted: set[str], *, flushes: bool) -> None:
        try:
            await session.db.execute(sql)
        except asyncpg.LockNotAvailableError:
            self.blocked += 1
            if not self._may_wait(session, wanted, flushes=flushes):
                self.faults.append(f"{sql[:60]!r} waited, but nobody holds {sorted(wanted)}")
            if session.db.is_in_transaction():
                await session.db.execute("rollback")
            session.forget()

    async def begin(self, place: int) -> None:
        """Begin a transaction, unless one is open."""
        session = self.sessions[place]
        if not session.is_open:
            await session.db.execute("begin")
            session.is_open = True

    async def step(self, place: int, step: Step) -> None:
        """Run a step in the open transaction, or as one of its own."""
        session = self.sessions[place]
        wanted = self.cast.touched(step)
        flushes = session.immediate or not session.is_open
        await self._run(session, self.cast.sql(step), wanted, flushes=flushes)
        if session.is_open:
            session.held |= wanted

    async def constraints(self, place: int, *, immediate: bool) -> None:
        """Switch the flush to every statement or back to the commit."""
        await self.begin(place)
        session = self.sessions[place]
        word = "immediate" if immediate else "deferred"
        # What was flushed holds its scopes until the end, whatever is set afterwards.
        session.immediate = session.immediate or immediate
        await self._run(session, f"set constraints all {word}", set(), flushes=True)

    async def savepoint(self, place: int) -> None:
        """Set a savepoint."""
        await self.begin(place)
        session = self.sessions[place]
        session.savepoints += 1
        await session.db.execute(f"savepoint s{session.savepoints}")

    async def roll_back_to(self, place: int) -> None:
        """Undo what followed the last savepoint."""
        session = self.sessions[place]
        if session.savepoints:
            await session.db.execute(f"rollback to savepoint s{session.savepoints}")
            session.savepoints -= 1

    async def end(self, place: int, word: str) -> None:
        """Commit or roll back."""
        session = self.sessions[place]
        if session.is_open:
            await self._run(session, word, set(), flushes=word == "commit")
            session.forget()

    async def join(self, customer: int) -> None:
        """Start another reader from a snapshot."""
        scope = self.scopes[customer]
        if not self._naive:
            self.replicas[scope].append(await take_snapshot(self.reader, scope))

    async def read(self, customer: int, limit: int) -> None:
        """Let every reader of a customer pull to the head; compare each with `select`."""
        scope = self.scopes[customer]
        expected = (await read_slices(self.reader)).get(scope, {})
        for replica in self.replicas[scope]:
            await self._catch_up(scope, replica, limit)
            self.faults += [f"{scope}: {fault}" for fault in replica.faults]
            if replica.rows != expected:
                lost, leaked = expected.keys() - replica.rows, replica.rows.keys() - expected
                self.faults.append(f"{scope}: lost {lost}, leaked {leaked}, or rows differ")

    async def _catch_up(self, scope: str, replica: Replica, limit: int) -> None:
        if self._naive:
            await pull_naively(self.reader, scope, replica)
            return
        head = replica.last + 1
        while head > replica.last and not replica.faults:
            head = await pull_once(self.reader, scope, replica, limit)

    async def race(self, stories: list[list[Step]]) -> None:
        """Run whole transactions at the same moment, again after every deadlock."""
        for place in range(SESSIONS):
            await self.end(place, "commit")
        pairs = zip(self.sessions, stories, strict=False)
        deadlocks = sum(
            await asyncio.gather(*(self._until_done(s.db, story) for s, story in pairs))
        )
        self.deadlocks += deadlocks
        wanted = [set().union(*map(self.cast.touched, story)) for story in stories]
        shared = sum(len(clashes(a, b)) for i, a in enumerate(wanted) for b in wanted[:i])
        if deadlocks and shared < 2:
            self.faults.append("a deadlock between writers that share less than two rows")

    async def _until_done(self, db: Connection, story: list[Step]) -> int:
        await db.execute(PATIENT)
        deadlocks = 0
        for _ in range(RETRIES):
            try:
                async with db.transaction():
                    for step in story:
                        await db.execute(self.cast.sql(step))
            except asyncpg.DeadlockDetectedError:
                deadlocks += 1
                continue
            except asyncpg.ForeignKeyViolationError:
                # Somebody closed the account meanwhile: the next time, the step sees that.
                continue
            await db.execute(IMPATIENT)
            return deadlocks
        raise AssertionError("no end of deadlocks")
