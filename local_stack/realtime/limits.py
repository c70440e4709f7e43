"""Counters behind the rate limits. Pure: the time comes in as an argument."""

from __future__ import annotations

from collections import deque


class WindowLimit:
    """At most ``count`` calls per window; the window starts at the first call."""

    def __init__(self, count: int | None, window_s: float) -> None:
        self._count = count
        self._window_s = window_s
        self._started_s = 0.0
        self._used = 0

    def take(self, now_s: float) -> bool:
        """Count one call and return whether it is still within the limit."""
        if self._count is None:
            return True
        if self._used == 0 or now_s - self._started_s >= self._window_s:
            self._started_s = now_s
            self._used = 0
        self._used += 1
        return self._used <= self._count


class RateCounter:
    """Events per second, averaged over buckets of five seconds, at most one minute.

    ``limit`` None counts and never triggers.
    """

    BUCKET_S = 5.0
    BUCKETS = 12

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._buckets: deque[int] = deque(maxlen=self.BUCKETS)
        self._current = 0
        self._tick_s: float | None = None

    def add(self, now_s: float, count: int = 1) -> None:
        """Count events that happen now."""
        self._roll(now_s)
        self._current += count

    def average(self, now_s: float) -> float:
        """Return the mean rate over the finished buckets, in events per second."""
        self._roll(now_s)
        if not self._buckets:
            return 0.0
        return sum(self._buckets) / (len(self._buckets) * self.BUCKET_S)

    def is_triggered(self, now_s: float) -> bool:
        """Return whether the limit is reached; short bursts within a bucket never reach it."""
        return self.limit is not None and self.average(now_s) >= self.limit

    def _roll(self, now_s: float) -> None:
        if self._tick_s is None:
            self._tick_s = now_s
        elapsed = int((now_s - self._tick_s) / self.BUCKET_S)
        if elapsed <= 0:
            return
        self._buckets.append(self._current)
        self._current = 0
        for _ in range(min(elapsed - 1, self.BUCKETS)):
            self._buckets.append(0)
        self._tick_s += elapsed * self.BUCKET_S
