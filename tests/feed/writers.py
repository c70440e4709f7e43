"""Concurrent writers that make a feed's life hard, and readers that follow it meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from dataclasses import dataclass, field

import asyncpg

from tests.feed.oracle import Connection, Replica, parse_changes


class _RollbackError(Exception):
    """Thrown by a writer to undo its own transaction or savepoint."""


@dataclass(slots=True)
class Tally:
    """What the writers did."""

    committed: int = 0
    rolled_back: int = 0
    deadlocks: int = 0
    savepoints: int = 0


@dataclass(slots=True)
class Writer:
    """One connection with jobs of its own in every customer, so that row locks never cross.

    Whatever deadlock there is, is the feed's.
    """

    connection: Connection
    customers: list[str]
    shared: list[str]
    random: random.Random
    tally: Tally
    jobs: dict[str, str] = field(default_factory=dict)

    async def prepare(self) -> None:
        """Insert one job per customer."""
        for customer in self.customers:
            self.jobs[customer] = await self.connection.fetchval(
                "insert into jobs (customer_id, title) values ($1, 'mine') returning id", customer
            )

    async def run(self, transactions: int) -> None:
        """Run that many transactions."""
        for _ in range(transactions):
            try:
                async with self.connection.transaction():
                    await self._transaction()
                self.tally.committed += 1
            except _RollbackError:
                self.tally.rolled_back += 1
            except asyncpg.DeadlockDetectedError:
                self.tally.deadlocks += 1

    async def _transaction(self) -> None:
        chosen = self.random.sample(self.customers, self.random.randint(1, 4))
        if self.random.random() < 0.5:
            await self.connection.execute(
                "update messages set read_at = coalesce(read_at, now()), body = body || '.' "
                "where id = $1",
                self.random.choice(self.shared),
            )
        for customer in chosen:
            await self._step(customer)
            await self.connection.execute("select pg_sleep($1)", self.random.random() * 0.003)
        if self.random.random() < 0.15:
            raise _RollbackError

    async def _step(self, customer: str) -> None:
        if self.random.random() < 0.25:
            try:
                async with self.connection.transaction():
                    self.tally.savepoints += 1
                    await self._write(customer)
                    raise _RollbackError
            except _RollbackError:
                pass
        await self._write(customer)

    async def _write(self, customer: str) -> None:
        job = self.jobs[customer]
        match self.random.randrange(6):
            case 0:
                await self.connection.execute(
                    "insert into messages (customer_id, body) values ($1, 'hello')", customer
                )
            case 1:
                await self.connection.execute(
                    "update jobs set deleted_at = case when deleted_at is null then now() end "
                    "where id = $1",
                    job,
                )
            case 2:
                await self.connection.execute(
                    "update jobs set customer_id = $2 where id = $1",
                    job,
                    self.random.choice(self.customers),
                )
            case 3:
                await self.connection.execute("update jobs set title = title where id = $1", job)
            case _:
                await self.connection.execute(
                    "update jobs set title = $2 where id = $1", job, str(self.random.random())
                )


async def add_customers(connection: Connection, count: int) -> tuple[list[str], list[str]]:
    """Insert customers with one message each; return the ids of both."""
    customers = [str(uuid.UUID(int=i + 1)) for i in range(count)]
    await connection.executemany(
        "insert into customers (id, name) values ($1, 'x')", [(c,) for c in customers]
    )
    messages = [
        await connection.fetchval(
            "insert into messages (customer_id, body) values ($1, 'm') returning id", customer
        )
        for customer in customers
    ]
    return customers, messages


async def pull_once(connection: Connection, scope: str, replica: Replica, limit: int) -> int:
    """Pull once from where the replica stands; return the head."""
    text = await connection.fetchval(
        "select portal_pull($1, (private.scope_head($1)).epoch::text, $2, $3)",
        scope,
        str(replica.last),
        str(limit),
    )
    answer = json.loads(text)
    if answer["must_resync"]:
        replica.faults.append(f"must_resync: {answer['reason']}")
        return replica.last
    replica.apply(parse_changes(answer))
    return int(answer["n"])


async def follow(
    url: str, scopes: list[str], replicas: dict[str, Replica], done: asyncio.Event, limit: int
) -> None:
    """Pull all scopes in turn while the writers write, and once more to the head after."""
    connection = await asyncpg.connect(url)
    try:
        while True:
            last_round = done.is_set()
            for scope in scopes:
                while (
                    await pull_once(connection, scope, replicas[scope], limit)
                    > replicas[scope].last
                ):
                    pass
            if last_round:
                return
    finally:
        await connection.close()


async def storm(
    url: str, *, writers: int, transactions: int, customers: int, seed: int
) -> tuple[Tally, dict[str, Replica]]:
    """Let writers and two readers loose on a database; return what they did and saw."""
    tally = Tally()
    connections = [await asyncpg.connect(url) for _ in range(writers)]
    try:
        ids, shared = await add_customers(connections[0], customers)
        crew = [
            Writer(connection, ids, shared, random.Random(seed * 100 + i), tally)
            for i, connection in enumerate(connections)
        ]
        for writer in crew:
            await writer.prepare()
        scopes = [f"customer:{customer}" for customer in ids]
        replicas = {scope: Replica() for scope in scopes}
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for half, limit in ((scopes[::2], 3), (scopes[1::2], 500)):
                group.create_task(follow(url, half, replicas, done, limit), name="reader")
            async with asyncio.TaskGroup() as writing:
                for writer in crew:
                    writing.create_task(writer.run(transactions), name="writer")
            done.set()
    finally:
        for connection in connections:
            await connection.close()
    return tally, replicas
