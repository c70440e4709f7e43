"""Staff who write at a steady rate, in a process of their own.

Run: python -m benchmarks.sdk.writer <postgres-url> <writes per second> <seconds> <tag> < jobs.json
Prints the clock of every commit: CLOCK_MONOTONIC is one clock for all processes of a machine, so
that whoever reads the commits is not the one who must find the time to notice them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

CONNECTIONS = 4
UPDATE = "update jobs set title = $2 where id = $1"


async def write(url: str, jobs: list[str], per_s: float, seconds: float, tag: str) -> Any:
    """Update one job after the other; return when each commit was known, by the new title."""
    committed: dict[str, float] = {}
    lag_s: list[float] = []
    pool = await asyncpg.create_pool(
        url, min_size=CONNECTIONS, max_size=CONNECTIONS, init=_warm_up(jobs[0])
    )
    began = time.perf_counter()

    async def update(index: int) -> None:
        title = f"bench-{tag}-{index}"
        await pool.execute(UPDATE, jobs[index], title)
        committed[title] = time.perf_counter()

    tasks = []
    for index in range(int(per_s * seconds)):
        due = began + index / per_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        lag_s.append(time.perf_counter() - due)
        tasks.append(asyncio.create_task(update(index)))
    await asyncio.gather(*tasks)
    await pool.close()
    return {"committed": committed, "latest_start_ms": round(max(lag_s) * 1e3, 1)}


def _warm_up(job: str) -> Callable[[Any], Awaitable[None]]:
    """Staff's connections have been in use for long: plans and triggers are loaded already."""

    async def write_back(connection: Any) -> None:
        for _ in range(2):
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(UPDATE, job, "never seen")
            await connection.execute("set constraints all immediate")
            await transaction.rollback()

    return write_back


if __name__ == "__main__":
    url, per_s, seconds, tag = sys.argv[1:]
    done = asyncio.run(write(url, json.load(sys.stdin), float(per_s), float(seconds), tag))
    json.dump(done, sys.stdout)
