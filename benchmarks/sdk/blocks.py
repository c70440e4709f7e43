"""For how long a large snapshot holds up the event loop, and with it everything else in it.

Run: python -m benchmarks.sdk --only blocks_10000 --only blocks_100000
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from portal_sdk import Portal

TICK_S = 0.001
SETTLE_S = 0.1
SWEEP_S = 3.0


class Watch:
    """The longest time between two turns of the loop."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def run(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            self.longest_s = max(self.longest_s, now - last - TICK_S)
            last = now


@asynccontextmanager
async def watched() -> AsyncIterator[Watch]:
    watch = Watch()
    task = asyncio.create_task(watch.run())
    try:
        yield watch
        await asyncio.sleep(SETTLE_S)  # the last block is seen when it is over
    finally:
        task.cancel()


async def blocks(env: dict[str, str], make: Callable[..., Portal], rows: int) -> Any:
    """What holds up the loop: each time all rows are read, opened, or taken back.

    First snapshot into a file, the same read again after a new epoch, again with every row another
    one, opening the file, and losing the right to see them.
    """
    database = await asyncpg.connect(env["SUPABASE_DB_URL"])
    result: dict[str, Any] = {"rows": rows}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "portal.db"
        started = time.perf_counter()
        async with make(store=path) as one:
            async with watched() as first:
                await one.ready(timeout_s=120)
                result["first_s"] = round(time.perf_counter() - started, 3)
            result["first_longest_block_ms"] = round(first.longest_s * 1e3, 1)
            async with watched() as again:
                await read_again(one, database)
            result["resync_longest_block_ms"] = round(again.longest_s * 1e3, 1)
            one.pause()
            await database.execute("update jobs set title = title || '.'")
            async with watched() as others:
                await read_again(one, database)
            result["all_rows_changed_longest_block_ms"] = round(others.longest_s * 1e3, 1)
        async with make(store=path) as one:
            async with watched() as opening:
                await one.ready(timeout_s=120)
            assert len(one.jobs) >= rows
            result["open_longest_block_ms"] = round(opening.longest_s * 1e3, 1)
            one.pause()
            customer_id = next(iter(one.profile)).id
            unlink = "update customers set portal_user_id = null where id = $1"
            await database.execute(unlink, customer_id)
            async with watched() as losing:
                deletes = one.jobs.changes()
                one.resume()
                for _ in range(rows):
                    await anext(deletes)
                await asyncio.sleep(SWEEP_S)
            result["purge_longest_block_ms"] = round(losing.longest_s * 1e3, 1)
    await database.close()
    return result


async def read_again(portal: Portal, database: Any) -> None:
    """Break the feed's continuity and wait until everything was read anew."""
    resyncs = portal.metrics.resyncs
    await database.execute("select private.new_sync_epoch()")
    statuses = portal.statuses()
    portal.pause()
    portal.resume()
    while portal.metrics.resyncs == resyncs or portal.status.state != "live":
        await anext(statuses)
