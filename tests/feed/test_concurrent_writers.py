"""The feed under concurrent writers: dense, complete, ordered, no deadlocks; mutants are found."""

from __future__ import annotations

import re

import asyncpg

from tests.feed.mutants import AT_THE_WRITE
from tests.feed.oracle import Connection, Replica, faults_of_feed
from tests.feed.writers import storm
from tests.support.cluster import Database

SEED = 20261121


async def check(url: str, replicas: dict[str, Replica]) -> list[str]:
    """Return the faults of the log and of what the readers saw of it."""
    connection = await asyncpg.connect(url)
    try:
        faults = await faults_of_feed(connection)
        for scope, replica in replicas.items():
            faults += [f"reader of {scope}: {fault}" for fault in replica.faults]
            stored = [
                (r["n"], str(r["row_id"]), r["op"], r["version"])
                for r in await connection.fetch(
                    "select n, row_id, op, version from sync_changes where scope = $1 order by n",
                    scope,
                )
            ]
            lost = len(set(stored) - set(replica.seen))
            if stored != replica.seen:
                faults.append(f"reader of {scope}: {lost} changes lost of {len(stored)}")
    finally:
        await connection.close()
    return faults


async def test_the_feed_is_dense_complete_and_ordered_under_concurrent_writers(
    empty_database: Database,
) -> None:
    """9 writers, up to 4 customers per transaction in random order, savepoints, 15 % rollbacks."""
    tally, replicas = await storm(
        empty_database.url, writers=9, transactions=40, customers=8, seed=SEED
    )
    assert await check(empty_database.url, replicas) == []
    assert tally.deadlocks == 0
    assert tally.committed > 200
    assert tally.rolled_back > 20
    assert tally.savepoints > 50
    assert sum(len(replica.seen) for replica in replicas.values()) > 500


async def mutate(connection: Connection, function: str, pattern: str, replacement: str) -> None:
    """Replace part of the body of a function."""
    source = await connection.fetchval("select pg_get_functiondef($1::regprocedure)", function)
    mutant, count = re.subn(pattern, replacement, source, flags=re.DOTALL)
    assert count == 1, "the mutation does not apply any more"
    await connection.execute(mutant)


async def test_a_naive_sequence_instead_of_the_counter_is_found(empty_database: Database) -> None:
    """Numbers from a sequence are neither dense nor in commit order: the checker must say so."""
    connection = await asyncpg.connect(empty_database.url)
    try:
        await connection.execute("create sequence private.naive_n")
        await mutate(
            connection,
            "private.place_pending(xid8, bigint)",
            r"h\.n - c\.k \+ row_number\(\) over \(partition by t\.scope order by t\.seq\) as n",
            "nextval('private.naive_n') as n",
        )
        await mutate(
            connection,
            "private.flush_row()",
            r"values \(\s*seen_by, its_n,",
            "values (seen_by, nextval('private.naive_n'),",
        )
    finally:
        await connection.close()
    _tally, replicas = await storm(
        empty_database.url, writers=8, transactions=10, customers=4, seed=SEED
    )
    faults = await check(empty_database.url, replicas)
    assert any("after" in fault for fault in faults), faults[:5]


async def test_a_counter_taken_at_write_is_found_by_its_deadlocks(empty_database: Database) -> None:
    """Without deferral the scope locks are taken in the writers' order, so writers deadlock."""
    connection = await asyncpg.connect(empty_database.url)
    try:
        await connection.execute(AT_THE_WRITE)
    finally:
        await connection.close()
    admin = await asyncpg.connect(empty_database.admin_url)
    await admin.execute(f'alter database "{empty_database.name}" set deadlock_timeout = 50')
    await admin.close()
    tally, _replicas = await storm(
        empty_database.url, writers=8, transactions=10, customers=4, seed=SEED
    )
    assert tally.deadlocks > 0
