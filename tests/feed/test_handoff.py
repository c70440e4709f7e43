"""A snapshot and the pulls after it join without gap or overlap, whatever is written meanwhile."""

from __future__ import annotations

import asyncio
import json
import uuid

import asyncpg

from tests.feed.oracle import Connection, Replica, parse_changes, read_slices
from tests.feed.writers import add_customers, pull_once
from tests.support.cluster import Database


async def write_for(connection: Connection, customer: str, enough: asyncio.Event) -> None:
    """Change things of a customer in small transactions until told that it is enough."""
    job = await connection.fetchval(
        "insert into jobs (customer_id, title) values ($1, 'x') returning id", customer
    )
    while not enough.is_set():
        async with connection.transaction():
            await connection.execute(
                "update jobs set title = $2 where id = $1", job, str(uuid.uuid4())
            )
            await connection.execute(
                "insert into messages (customer_id, body) values ($1, 'm')", customer
            )
            await connection.execute(
                "delete from messages where id = (select id from messages where customer_id = $1 "
                "order by id limit 1)",
                customer,
            )


async def take_snapshot(connection: Connection, scope: str) -> Replica:
    """Start a replica from a snapshot."""
    answer = json.loads(await connection.fetchval("select portal_snapshot($1)", scope))
    replica = Replica(last=answer["n"])
    for table, rows in answer["tables"].items():
        for row in rows:
            replica.rows[table, row["id"]] = row
            replica.versions[table, row["id"]] = row["version"]
    return replica


async def test_snapshots_during_writes_and_their_tails_end_equal_to_the_tables(
    empty_database: Database,
) -> None:
    connections = [await asyncpg.connect(empty_database.url) for _ in range(5)]
    reader, *writers = connections
    try:
        customers, _messages = await add_customers(reader, 1)
        scope = f"customer:{customers[0]}"
        enough = asyncio.Event()
        replicas: list[Replica] = []
        async with asyncio.TaskGroup() as group:
            for writer in writers:
                group.create_task(write_for(writer, customers[0], enough), name="writer")
            while len(replicas) < 60 or replicas[-1].last < 150:
                replicas.append(await take_snapshot(reader, scope))
            enough.set()
        expected = (await read_slices(reader))[scope]
        head = await reader.fetchval("select n from sync_scopes where scope = $1", scope)
        assert len({replica.last for replica in replicas}) > 10
        for replica in replicas:
            while replica.last < head:
                await pull_once(reader, scope, replica, 500)
            assert replica.faults == []
            assert replica.rows == expected
    finally:
        for connection in connections:
            await connection.close()


async def test_an_unrelated_open_transaction_delays_nobody(empty_database: Database) -> None:
    idle = await asyncpg.connect(empty_database.url)
    busy = await asyncpg.connect(empty_database.url)
    try:
        customers, _messages = await add_customers(busy, 2)
        transaction = idle.transaction()
        await transaction.start()
        await idle.execute("update customers set phone = '1' where id = $1", customers[0])
        await busy.execute("update customers set phone = '2' where id = $1", customers[1])
        scope = f"customer:{customers[1]}"
        text = await busy.fetchval(
            "select portal_pull($1, (private.scope_head($1)).epoch::text, '2')", scope
        )
        assert [c.version for c in parse_changes(json.loads(text))] == [2]
        await transaction.rollback()
    finally:
        await idle.close()
        await busy.close()
