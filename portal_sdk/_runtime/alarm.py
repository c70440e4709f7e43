"""One lasting timer for deadlines that move with every event."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


class Alarm:
    """Rings at the latest when it was set for; belongs to the event loop it is set in.

    A deadline that moves away, as nearly all do, costs nothing: the timer stays as it is, rings too
    early, and whoever is rung looks at the deadlines again. Only an earlier one needs a new timer.

    Args:
        ring: Called in the event loop; sets the alarm again for what is still ahead.
    """

    __slots__ = ("_at", "_ring", "_timer")

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._at = math.inf

    def set(self, at: float | None) -> None:
        """Ring at ``at`` (seconds, clock of the loop) or earlier; None asks for nothing."""
        if at is None or self._at <= at:
            return
        self.cancel()
        self._at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._go_off)

    def cancel(self) -> None:
        """Let it ring no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._at = None, math.inf

    def _go_off(self) -> None:
        self._timer, self._at = None, math.inf
        self._ring()
