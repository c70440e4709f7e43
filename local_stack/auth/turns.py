"""Wait for one's turn at work that the machine can do only a few of at once, or leave the queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeAlias

from starlette.requests import ClientDisconnect, Request

from local_stack.auth.errors import AuthError

# Returns once whoever waits for the answer has gone.
Gone: TypeAlias = Callable[[], Awaitable[None]]


class Turns:
    """First come, first served; whoever is gone, or waits too long, gives up the place.

    Belongs to one event loop.
    """

    def __init__(self, places: int, *, max_waiting: int, max_wait_s: float) -> None:
        """Let ``places`` work at once and ``max_waiting`` others wait ``max_wait_s`` each."""
        self._places = asyncio.Semaphore(places)
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return self._waiting

    @property
    def is_busy(self) -> bool:
        """Whether the next one has to wait."""
        return self._places.locked()

    @contextlib.asynccontextmanager
    async def turn(self, gone: Gone) -> AsyncGenerator[None]:
        """Hold a place while the block runs.

        Args:
            gone: watched only while there is a queue, and never during the block.

        Raises:
            ClientDisconnect: the caller left before the turn came.
            AuthError: 504 ``request_timeout`` after the longest wait, as GoTrue answers what takes
                longer; 429 ``over_request_rate_limit`` at once when the queue is full.

        Cancellation:
            Safe; the place goes to the next one.
        """
        if self.is_busy:
            await self._queue(gone)
        else:
            await self._places.acquire()  # free, so this does not wait
        try:
            yield
        finally:
            self._places.release()

    async def _queue(self, gone: Gone) -> None:
        if self._waiting >= self._max_waiting:
            raise AuthError(429, "over_request_rate_limit", "Request rate limit reached")
        self._waiting += 1
        turn = asyncio.ensure_future(self._places.acquire())
        left = asyncio.ensure_future(gone())
        try:
            await asyncio.wait(
                {turn, left}, timeout=self._max_wait_s, return_when=asyncio.FIRST_COMPLETED
            )
            if left.done():
                left.result()
                raise ClientDisconnect
            if not turn.done():
                raise AuthError(
                    504,
                    "request_timeout",
                    "Processing this request timed out, please retry after a moment.",
                )
        except BaseException:
            if not turn.cancel():  # the turn has come all the same
                self._places.release()
            raise
        finally:
            left.cancel()
            self._waiting -= 1


def gone_of(request: Request) -> Gone:
    """Return what waits until the sender of a request, whose body is read, has disconnected.

    The server goes on with a request whose sender is gone; only ``receive`` tells.
    """

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return gone
