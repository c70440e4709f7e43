"""What the routes of the auth server share: settings, keys, database pool, clock."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg

from local_stack.auth.config import AuthConfig
from local_stack.auth.passwords import PasswordHasher
from local_stack.auth.tokens import TokenIssuer, TokenVerifier
from local_stack.auth.users import Connection
from local_stack.errors import StackError
from local_stack.keys import ProjectKeys


class AuthServerStateError(StackError, RuntimeError):
    """The auth server was used before ``start`` or after ``stop``."""


# What a request meets when the database is away, ends, or has no room; worth a retry later.
UNREACHABLE = (
    AuthServerStateError,
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a server killed in the middle of an answer
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.QueryCanceledError,
)


@dataclass(slots=True)
class Services:
    """Owned by ``AuthServer``, which fills in and removes the pool and the hasher.

    Attributes:
        clock: Unix time in seconds.
    """

    config: AuthConfig
    keys: ProjectKeys
    verifier: TokenVerifier
    issuer: TokenIssuer
    clock: Callable[[], float]
    pool: asyncpg.Pool[asyncpg.Record] | None = None
    hasher: PasswordHasher | None = None

    def now(self) -> datetime:
        """Return the clock's instant."""
        return datetime.fromtimestamp(self.clock(), UTC)

    @property
    def passwords(self) -> PasswordHasher:
        """The hasher of a started server."""
        if self.hasher is None:
            raise AuthServerStateError("the auth server is not started")
        return self.hasher

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncGenerator[Connection]:
        """Lend a connection outside a transaction."""
        if self.pool is None:
            raise AuthServerStateError("the auth server is not started")
        async with self.pool.acquire(timeout=self.config.database_timeout_s) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        """Lend a connection inside a transaction that ends with the block."""
        async with self.reading() as connection, connection.transaction():
            yield connection


async def open_pool(dsn: str, config: AuthConfig) -> asyncpg.Pool[asyncpg.Record]:
    """Connect to the database as the auth server's role.

    Raises:
        OSError, asyncpg.PostgresError: the database is not reachable or refuses the role.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=config.pool_size,
        init=_prepare_connection,
        timeout=config.database_timeout_s,
        command_timeout=config.database_timeout_s,
        server_settings={"application_name": "local_stack auth", "timezone": "UTC"},
    )


async def _prepare_connection(connection: asyncpg.Connection[Any]) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
    )
