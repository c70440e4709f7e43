"""Keeps the schema cache fresh: loads it, listens to ``NOTIFY pgrst``, looks again on a miss."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

import asyncpg

from local_stack.rest.catalogue import read_fingerprint, read_schema_cache, read_timezones
from local_stack.rest.driver import Connection
from local_stack.rest.errors import UnavailableError
from local_stack.rest.pool import ConnectionPool
from local_stack.rest.schema_cache import SchemaCache

log = logging.getLogger(__name__)

CHANNEL = "pgrst"
_RELOAD = ("", "reload schema")
_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 5.0
_FAILURES = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class CacheKeeper:
    """Owns the current schema cache and the connection that listens.

    One task loads, listens and reconnects; requests only read ``current`` or ask to look again.
    """

    def __init__(self, pool: ConnectionPool, schemas: Sequence[str]) -> None:
        self._pool = pool
        self._schemas = tuple(schemas)
        self._cache: SchemaCache | None = None
        self._timezones: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._stale = asyncio.Event()
        self._loaded = asyncio.Event()
        self._lock = asyncio.Lock()

    @property
    def current(self) -> SchemaCache:
        """The cache.

        Raises:
            UnavailableError: PGRST002 until it could be loaded once.
        """
        if self._cache is None:
            raise UnavailableError("PGRST002")
        return self._cache

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """The task that keeps the cache; it ends only in ``stop``."""
        return () if self._task is None else (self._task,)

    async def start(self, timeout_s: float) -> None:
        """Start the task; wait for the first load, but not longer than ``timeout_s``."""
        self._task = asyncio.create_task(self._keep(), name="rest schema cache")
        try:
            async with asyncio.timeout(timeout_s):
                await self._loaded.wait()
        except TimeoutError:
            log.warning("the schema cache could not be loaded yet; retrying")

    async def stop(self) -> None:
        """Stop the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def look_again(self, seen: SchemaCache) -> bool:
        """Reload if the catalogue differs from the cache in which something was not found.

        Args:
            seen: The cache that was used.

        Returns:
            Whether there is a newer cache to try.
        """
        async with self._lock:
            # A load that another change set off may have begun before this one was committed.
            current = self.current
            connection = await self._pool.connect()
            try:
                if await read_fingerprint(connection, self._schemas) == current.fingerprint:
                    return current is not seen
                await self._load(connection)
            except _FAILURES as error:
                raise UnavailableError("PGRST001") from error
            finally:
                connection.terminate()
        return True

    async def _keep(self) -> None:
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                connection = await self._pool.connect()
            except UnavailableError:
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, _LONGEST_DELAY_S)
                continue
            try:
                await self._follow(connection)
            except _FAILURES as error:
                log.warning("schema cache connection lost: %s", type(error).__name__)
            finally:
                connection.terminate()
            await asyncio.sleep(_FIRST_DELAY_S)
            delay_s = _FIRST_DELAY_S

    async def _follow(self, connection: Connection) -> None:
        """Load, then reload at every notice, until the connection ends."""
        self._stale.clear()
        connection.add_termination_listener(lambda _: self._stale.set())
        await connection.add_listener(CHANNEL, self._noticed)
        while not connection.is_closed():
            async with self._lock:
                await self._load(connection)
            await self._stale.wait()
            self._stale.clear()

    def _noticed(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload in _RELOAD:
            self._stale.set()

    async def _load(self, connection: Connection) -> None:
        if not self._timezones:
            self._timezones = await read_timezones(connection)
        cache = await read_schema_cache(connection, self._schemas)
        self._cache = replace(cache, timezones=self._timezones)
        self._loaded.set()
