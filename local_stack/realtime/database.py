"""Connections to the project's database as the server's own superuser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]

# What a lost or refused connection raises, as opposed to an error of the statement.
CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg raises when its transport is already closing
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)


class Connections(Protocol):
    """Whatever lends connections."""

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection; raises one of CONNECTION_ERRORS when there is none."""
        ...


def _settings(timeout_s: float) -> dict[str, str]:
    return {
        "application_name": "realtime",
        "timezone": "UTC",
        "statement_timeout": str(int(timeout_s * 1000)),
        "idle_in_transaction_session_timeout": "60000",
    }


class Session:
    """One connection that is kept open, for one task.

    Lending from a pool costs a round trip at the return, and now and then a new connection: both
    would show in the latency of every change.
    """

    def __init__(self, dsn: str, *, timeout_s: float) -> None:
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend the connection, opened anew when it was lost.

        Raises:
            One of CONNECTION_ERRORS when the database cannot be reached in time.
        """
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._dsn,
                timeout=self._timeout_s,
                command_timeout=self._timeout_s * 1.5,
                server_settings=_settings(self._timeout_s),
            )
        yield self._connection

    def abandon(self) -> None:
        """Drop the connection without a farewell."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


class Database:
    """A small pool that is made at the first use and survives restarts of PostgreSQL."""

    def __init__(self, dsn: str, *, size: int, timeout_s: float) -> None:
        self._dsn = dsn
        self._size = size
        self._timeout_s = timeout_s
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection: UTC, limited statement time.

        Raises:
            One of CONNECTION_ERRORS when the database cannot be reached in time.
        """
        pool = await self._open()
        async with pool.acquire(timeout=self._timeout_s) as connection:
            yield connection

    async def _open(self) -> asyncpg.Pool[asyncpg.Record]:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=self._size,
                    timeout=self._timeout_s,
                    command_timeout=self._timeout_s * 1.5,
                    server_settings=_settings(self._timeout_s),
                )
            return self._pool

    async def close(self) -> None:
        """Close every connection, at the latest after five seconds."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), timeout=5)
        except TimeoutError:
            pool.terminate()
