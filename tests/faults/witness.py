"""What one portal showed, judged against the database as that customer sees it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

from portal_sdk import Change, Portal


@dataclass
class Counters:
    """What must all be zero in the end, and how much there was to see."""

    lost: int = 0
    applied_twice: int = 0
    reordered: int = 0
    leaked: int = 0
    stale_while_live: int = 0
    stuck: int = 0
    changes_seen: int = 0
    faults: int = 0
    writes: int = 0
    details: list[str] = field(default_factory=list)

    def wrong(self) -> dict[str, int]:
        names = ("lost", "applied_twice", "reordered", "leaked", "stale_while_live", "stuck")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


class Witness:
    """Follows one portal; a portal that is killed and started again gets the same witness."""

    def __init__(self, customer_id: str, counters: Counters) -> None:
        self.customer_id = customer_id
        self.counters = counters
        self._last_n = 0
        self._versions: dict[tuple[str, str], int] = {}
        self._gone: set[tuple[str, str]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def follow(self, portal: Portal) -> None:
        self._tasks.append(asyncio.create_task(self._read(portal), name="witness"))

    def check(self) -> None:
        """Raise what made a reader of changes fail, if anything did."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    async def _read(self, portal: Portal) -> None:
        async for change in portal.changes():
            self._judge(change)

    def _judge(self, change: Change[Any]) -> None:
        counters = self.counters
        counters.changes_seen += 1
        owner = change.record.id if change.table == "customers" else change.record.customer_id
        if str(owner) != self.customer_id:
            counters.leaked += 1
        key = (change.table, str(change.record.id))
        if change.source == "resync":
            self._last_n = max(self._last_n, change.n)
            self._versions[key] = change.record.version
            return
        if change.n <= self._last_n:
            counters.applied_twice += change.n == self._last_n
            counters.reordered += change.n < self._last_n
            counters.details.append(f"n {change.n} after {self._last_n} ({change.source})")
        self._last_n = change.n
        known = self._versions.get(key, 0)
        if change.kind == "update" and change.record.version <= known:
            counters.reordered += 1
            counters.details.append(f"{key} version {change.record.version} after {known}")
        self._versions[key] = change.record.version


def cached_rows(portal: Portal) -> dict[tuple[str, str], Any]:
    tables = portal._core.replica.tables
    return {(t, row_id): row for t, rows in tables.items() for row_id, row in rows.items()}


class Freshness:
    """Checks that a live portal is never further behind than it may be.

    A commit may stay unseen by a live portal for one verify interval and the time to read it.
    """

    def __init__(self, allowed_s: float, counters: Counters) -> None:
        self._allowed_s = allowed_s
        self._counters = counters
        self._commits: list[tuple[float, int]] = []

    def committed(self, n: int) -> None:
        self._commits.append((time.monotonic(), n))

    def look(self, portal: Portal) -> None:
        now, shown = time.monotonic(), portal._core.replica.n
        self._commits = [(at, n) for at, n in self._commits if n > shown]
        if portal.status.state == "live" and self._commits:
            late_s = now - self._commits[0][0]
            if late_s > self._allowed_s:
                self._counters.stale_while_live += 1
                self._counters.details.append(f"live but {late_s:.1f} s behind")
                self._commits.clear()
