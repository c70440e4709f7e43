"""Let one session wait for another, and know that it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias

import asyncpg

from tests.database.callers import Connection, connect
from tests.support.cluster import Database

Isolation: TypeAlias = Literal["read_committed", "repeatable_read", "serializable"]
PATIENCE_S = 20


@asynccontextmanager
async def two_sessions(database: Database) -> AsyncIterator[tuple[Connection, Connection]]:
    """Connect twice as the owner."""
    first, second = await connect(database), await connect(database)
    try:
        yield first, second
    finally:
        await first.close()
        await second.close()


async def begun(db: Connection, isolation: Isolation = "read_committed") -> Any:
    """Begin a transaction that has its snapshot already; return it."""
    transaction = db.transaction(isolation=isolation)
    await transaction.start()
    await db.execute("select 1 from customers limit 1")
    return transaction


async def outcome(work: Awaitable[Any]) -> str:
    """Return `done`, or SQLSTATE and message of the refusal."""
    try:
        await work
    except asyncpg.PostgresError as error:
        return f"{error.sqlstate} {str(error).splitlines()[0]}"
    return "done"


async def waiting(
    blocker: Connection, blocked: Connection, work: Awaitable[Any]
) -> asyncio.Task[str]:
    """Start a statement that must wait for the other session; return when it does."""
    task = asyncio.ensure_future(outcome(work))
    pid, holder = blocked.get_server_pid(), blocker.get_server_pid()
    async with asyncio.timeout(PATIENCE_S):
        while holder not in await blocker.fetchval("select pg_blocking_pids($1)", pid):
            assert not task.done(), f"did not wait: {task.result()}"
            await asyncio.sleep(0.005)
    return task
