"""What the last ring promised: a position that the database may not show yet (SYNC-19)."""

from __future__ import annotations

from dataclasses import dataclass

PROMISE_PAUSES_S = (0.0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.256, 1.024)
"""Waits before looking again for a change that was rung for but is not visible yet.

They double, so that a change is read at the latest after twice the time that it was invisible.
"""


@dataclass(slots=True)
class RingPromise:
    """The highest position rung for, and when to look for it again; owned by the SyncMachine.

    The server's log stream may tell of a commit a moment before other sessions can see it.
    Looking is repeated a few times only, so that a forged position costs next to nothing.

    Attributes:
        look_at: When to look again, or None.
    """

    look_at: float | None = None
    _n: int = 0
    _look_count: int = 0

    def note(self, n: int) -> None:
        """Remember a position; a higher one starts the looks anew."""
        if n > self._n:
            self._n, self._look_count = n, 0

    def is_open(self, n: int, now: float) -> bool:
        """Return whether a reader standing at ``n`` should look once more, at ``look_at``."""
        self.look_at = None
        if self._n <= n or self._look_count >= len(PROMISE_PAUSES_S):
            self._n = self._look_count = 0
            return False
        self.look_at = now + PROMISE_PAUSES_S[self._look_count]
        self._look_count += 1
        return True

    def forget(self) -> None:
        """Forget everything; the session ended."""
        self.look_at = None
        self._n = self._look_count = 0
