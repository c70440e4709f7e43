"""Whether a portal that says ``live`` is: judged by the commits that it does not show."""

from __future__ import annotations

import asyncio
import time

from portal_sdk import Portal
from tests.faults.counters import Counters


class Freshness:
    """Two things that a live portal never does, whatever the network does.

    It is never further behind than it may be: a commit may stay unseen for one verify interval and
    the time to read it, as any ring can be lost. And what was committed while it had no doorbell
    was not rung for it, so it must have read that before it says ``live`` again: here no time is
    allowed, and an answer from before the silence is none.
    """

    def __init__(self, allowed_s: float, counters: Counters) -> None:
        self._allowed_s = allowed_s
        self._counters = counters
        self._commits: list[tuple[float, int]] = []
        self._portal: Portal | None = None
        self._deaf_until = 0.0

    def committed(self, n: int) -> None:
        """Note that the feed stands at ``n`` now."""
        self._commits.append((time.monotonic(), n))

    def follow(self, portal: Portal) -> asyncio.Task[None]:
        """Look whenever the status changes, until the portal is closed."""
        statuses = portal.statuses()  # made now: what changes before the task's first turn counts

        async def read() -> None:
            async for _status in statuses:
                self.look(portal)

        return asyncio.create_task(read(), name="freshness")

    def look(self, portal: Portal) -> None:
        """Compare what the portal claims with what it shows."""
        now, shown, status = time.monotonic(), portal._core.replica.n, portal.status
        if portal is not self._portal:
            self._portal, self._deaf_until = portal, 0.0
        self._commits = [(at, n) for at, n in self._commits if n > shown]
        if status.doorbell == "none":
            self._deaf_until = now
        if status.state != "live" or not self._commits:
            return
        committed_at = self._commits[0][0]
        if committed_at < self._deaf_until:
            since_s = now - self._deaf_until
            self._blame(f"live {since_s:.3f} s after a silence, without what was committed in it")
        elif now - committed_at > self._allowed_s:
            self._blame(f"live but {now - committed_at:.1f} s behind")

    def _blame(self, what: str) -> None:
        self._counters.stale_while_live += 1
        self._counters.details.append(what)
        self._commits.clear()
