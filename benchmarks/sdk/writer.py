"""Staff who write at a steady rate, in a process of their own.

Run: python -m benchmarks.sdk.writer <postgres-url> <writes per second> <seconds> <tag> < jobs.json
Prints the clock of every commit: CLOCK_MONOTONIC is one clock for all processes of a machine, so
that whoever reads the commits is not the one who must find the time to notice them. It shares the
processors with what is measured, so it does no more than it must: no pool, which would clean a
connection with four statements after every write.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import asyncpg
import uvloop

CONNECTIONS = 4
UPDATE = "update jobs set title = $2 where id = $1"


async def write(url: str, jobs: list[str], per_s: float, seconds: float, tag: str) -> Any:
    """Update one job after the other; return when each commit was known, by the new title."""
    committed: dict[str, float] = {}
    lag_s: list[float] = []
    idle: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
    connections = [await _connect(url, jobs[0]) for _ in range(CONNECTIONS)]
    for connection in connections:
        idle.put_nowait(await connection.prepare(UPDATE))

    async def update(job: str, title: str) -> None:
        statement = await idle.get()
        await statement.fetch(job, title)
        committed[title] = time.perf_counter()
        idle.put_nowait(statement)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as updates:
        for index in range(int(per_s * seconds)):
            due = began + index / per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            lag_s.append(time.perf_counter() - due)
            updates.create_task(update(jobs[index], f"bench-{tag}-{index}"))
    for connection in connections:
        await connection.close()
    return {"committed": committed, "latest_start_ms": round(max(lag_s) * 1e3, 1)}


async def _connect(url: str, job: str) -> Any:
    """Connect; staff's connections have been in use for long: plans and triggers are loaded."""
    connection = await asyncpg.connect(url)
    for _ in range(2):
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(UPDATE, job, "never seen")
        await connection.execute("set constraints all immediate")
        await transaction.rollback()
    return connection


if __name__ == "__main__":
    url, per_s, seconds, tag = sys.argv[1:]
    done = uvloop.run(write(url, json.load(sys.stdin), float(per_s), float(seconds), tag))
    json.dump(done, sys.stdout)
