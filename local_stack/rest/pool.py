"""A pool of connections as ``authenticator``: no reset query, errors as REST errors."""

import asyncio
from collections import deque

import asyncpg

from local_stack.rest.config import RestConfig
from local_stack.rest.driver import Connection
from local_stack.rest.errors import UnavailableError

_STATEMENTS = 500


class ConnectionPool:
    """Lends connections, last used first; opens them when needed, one at a time.

    A new connection costs ten times what a request costs, for the server as well as here. So a
    burst of requests opens one, and each request takes whatever is free first: it, or one that
    another request gives back.

    Nothing is reset here: whoever borrows a connection cleans it and sets every setting it relies
    on before anything else runs (see ``execute``).
    """

    def __init__(self, dsn: str, config: RestConfig) -> None:
        self._dsn = dsn
        self._config = config
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection]] = deque()
        self._open_count = 0
        self._opening: asyncio.Task[None] | None = None
        self._lent: set[Connection] = set()
        self._closed = False

    async def acquire(self) -> Connection:
        """Borrow a connection.

        Raises:
            UnavailableError: PGRST000 when there is none and none can be opened, PGRST003 when none
                became free in time.

        Cancellation:
            Safe; nothing stays borrowed.
        """
        if self._closed:
            raise UnavailableError("PGRST000")
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                self._lent.add(connection)
                return connection
            self._open_count -= 1
        return await self._wait()

    def release(self, connection: Connection) -> None:
        """Give a connection back; a broken one is forgotten."""
        self._lent.discard(connection)
        if connection.is_closed() or self._closed:
            self._open_count -= 1
            if not connection.is_closed():
                connection.terminate()
            self._grow()
        else:
            self._offer(connection)

    def discard(self, connection: Connection) -> None:
        """Give back a connection whose state is unknown; it is cut."""
        connection.terminate()
        self.release(connection)

    async def close(self) -> None:
        """Cut all connections."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        for connection in [*self._idle, *self._lent]:
            connection.terminate()
        self._idle.clear()
        self._refuse(UnavailableError("PGRST000"))

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

    async def _wait(self) -> Connection:
        turn: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._grow()
        try:
            async with asyncio.timeout(self._config.pool_timeout_s):
                return await turn
        except TimeoutError:
            self._give_up(turn)
            raise UnavailableError("PGRST003") from None
        except asyncio.CancelledError:
            self._give_up(turn)
            raise

    def _give_up(self, turn: asyncio.Future[Connection]) -> None:
        """Leave the queue; what was handed over at the last moment goes to the next one."""
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self.release(turn.result())
        elif turn in self._waiting:
            self._waiting.remove(turn)

    def _grow(self) -> None:
        """Open one more connection if somebody waits for it."""
        if (
            self._waiting
            and self._opening is None
            and self._open_count < self._config.pool_size
            and not self._closed
        ):
            self._open_count += 1
            self._opening = asyncio.create_task(self._open(), name="rest-pool-open")

    async def _open(self) -> None:
        try:
            connection = await self.connect()
        except asyncio.CancelledError:
            self._open_count -= 1
            raise
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            self._open_count -= 1
            self._opening = None
            # Others will become free, unless there are none.
            if self._open_count == 0 or not isinstance(error, UnavailableError):
                self._refuse(error)
        else:
            self._opening = None
            self._offer(connection)
            self._grow()

    def _offer(self, connection: Connection) -> None:
        """Hand a connection to who has waited longest, or keep it."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._lent.add(connection)
                turn.set_result(connection)
                return
        self._idle.append(connection)

    def _refuse(self, error: Exception) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)
