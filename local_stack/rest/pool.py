"""A pool of connections as ``authenticator``: no reset query, errors as REST errors."""

import asyncio
from collections import deque

import asyncpg

from local_stack.rest.config import RestConfig
from local_stack.rest.driver import Connection
from local_stack.rest.errors import UnavailableError

_STATEMENTS = 500


class ConnectionPool:
    """Lends connections, last used first; opens them when needed.

    Nothing is reset here: whoever borrows a connection cleans it and sets every setting it relies
    on before anything else runs (see ``execute``).
    """

    def __init__(self, dsn: str, config: RestConfig) -> None:
        self._dsn = dsn
        self._config = config
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._open_count = 0
        self._lent: set[Connection] = set()
        self._closed = False

    async def acquire(self) -> Connection:
        """Borrow a connection.

        Raises:
            UnavailableError: PGRST000 when none can be opened, PGRST003 when none became free.

        Cancellation:
            Safe; nothing stays borrowed.
        """
        deadline = asyncio.get_running_loop().time() + self._config.pool_timeout_s
        while not self._closed:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    self._lent.add(connection)
                    return connection
                self._open_count -= 1
            if self._open_count < self._config.pool_size:
                return await self._open()
            await self._wait(deadline)
        raise UnavailableError("PGRST000")

    def release(self, connection: Connection) -> None:
        """Give a connection back; a broken one is forgotten."""
        self._lent.discard(connection)
        if connection.is_closed() or self._closed:
            self._open_count -= 1
            if not connection.is_closed():
                connection.terminate()
        else:
            self._idle.append(connection)
        self._wake()

    def discard(self, connection: Connection) -> None:
        """Give back a connection whose state is unknown; it is cut."""
        connection.terminate()
        self.release(connection)

    async def close(self) -> None:
        """Cut all connections."""
        self._closed = True
        for connection in [*self._idle, *self._lent]:
            connection.terminate()
        self._idle.clear()
        while self._waiting:
            self._wake()

    async def connect(self) -> Connection:
        """Open a connection outside of the pool's count; the caller closes it.

        Raises:
            UnavailableError: PGRST000.
        """
        timeout_ms = self._config.statement_timeout_ms
        try:
            return await asyncpg.connect(
                self._dsn,
                timeout=self._config.connect_timeout_s,
                statement_cache_size=_STATEMENTS,
                max_cached_statement_lifetime=0,
                server_settings={
                    "application_name": "local_stack rest",
                    "statement_timeout": str(timeout_ms),
                    "jit": "off",
                },
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            reason = error.args[0] if isinstance(error, asyncpg.PostgresError) else None
            raise UnavailableError("PGRST000", details=reason) from error

    async def _open(self) -> Connection:
        self._open_count += 1
        try:
            connection = await self.connect()
        except BaseException:
            self._open_count -= 1
            self._wake()
            raise
        self._lent.add(connection)
        return connection

    async def _wait(self, deadline: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except TimeoutError:
            raise UnavailableError("PGRST003") from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._wake()
            raise
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
