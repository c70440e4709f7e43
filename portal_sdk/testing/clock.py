"""A clock that the test moves: waits of minutes are over at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from portal_sdk.errors import ConfigurationError

TURNS = 50
STEP_S = 1.0


class ManualClock:
    """Moves the running loop's time forward; made by ``manual_clock``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._real = loop.time
        self._ahead_s = 0.0

    def time(self) -> float:
        """Return the loop's time: the real one plus all advances."""
        return self._real() + self._ahead_s

    async def advance(self, seconds: float) -> None:
        """Let this time pass in steps of a second, and everything that becomes due happen.

        Args:
            seconds: >= 0.

        Raises:
            ConfigurationError: Negative.
        """
        if seconds < 0:
            raise ConfigurationError("A clock does not go back")
        left_s = seconds
        while left_s > 0:
            step_s = min(STEP_S, left_s)
            self._ahead_s += step_s
            left_s -= step_s
            for _ in range(TURNS):
                await asyncio.sleep(0)


@asynccontextmanager
async def manual_clock() -> AsyncGenerator[ManualClock, None]:
    """Yield a clock for the running loop; the loop's own time is back afterwards.

    Raises:
        ConfigurationError: The loop is one whose time cannot be replaced (uvloop).
    """
    loop = asyncio.get_running_loop()
    clock = ManualClock(loop)
    try:
        loop.time = clock.time  # type: ignore[method-assign]
    except AttributeError as error:
        raise ConfigurationError("manual_clock needs asyncio's own event loop") from error
    try:
        yield clock
    finally:
        del loop.time
