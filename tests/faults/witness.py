"""What one portal showed, judged against the database as that customer sees it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

from portal_sdk import Change, Portal

WRONGS = ("lost", "applied_twice", "reordered", "leaked", "stale_while_live", "stuck")


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
    overlaps: int = 0
    customer_writes: int = 0
    refused_writes: int = 0
    judgements: int = 0
    resyncs: int = 0
    by_fault: dict[str, int] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)

    def wrong(self) -> dict[str, int]:
        """Return the counters that are not zero and should be."""
        return {name: getattr(self, name) for name in WRONGS if getattr(self, name)}


class Witness:
    """Follows one portal; a portal that is killed and started again gets the same witness.

    Attributes:
        tampered: Rows whose version was raised behind the feed's back: they may skip one.
    """

    def __init__(self, customer_id: str, counters: Counters, tampered: set[str]) -> None:
        self.customer_id = customer_id
        self.counters = counters
        self._tampered = tampered
        self._last_n = 0
        self._versions: dict[tuple[str, str], int] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def follow(self, portal: Portal) -> None:
        """Read every change of this portal from now on."""
        # The stream is made now: a change before the task's first turn counts, too.
        stream = portal.changes()
        self._tasks.append(asyncio.create_task(self._read(stream), name="witness"))

    def check(self) -> None:
        """Raise what made a reader of changes fail, if anything did."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def stop(self) -> None:
        """Stop reading."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    def forget(self) -> None:
        """Expect anything next: the portal lost what it had stored."""
        self._last_n = 0
        self._versions.clear()

    async def _read(self, stream: Any) -> None:
        async for change in stream:
            self._judge(change)

    def _judge(self, change: Change[Any]) -> None:
        counters = self.counters
        if change.source == "local":
            return  # shown before the database has said anything
        counters.changes_seen += 1
        owner = change.record.id if change.table == "customers" else change.record.customer_id
        if str(owner) != self.customer_id:
            counters.leaked += 1
            counters.details.append(f"a {change.table} row of somebody else")
        key = (change.table, str(change.record.id))
        if change.source == "resync":
            self._last_n = change.n  # a restore may have taken the feed back
        else:
            self._judge_place(change)
            if change.kind == "update":
                self._judge_version(key, change.record.version)
        if change.kind == "delete":
            self._versions.pop(key, None)
        else:
            self._versions[key] = change.record.version

    def _judge_place(self, change: Change[Any]) -> None:
        if change.n <= self._last_n:
            self.counters.applied_twice += change.n == self._last_n
            self.counters.reordered += change.n < self._last_n
            self.counters.details.append(f"n {change.n} after {self._last_n} ({change.source})")
        self._last_n = change.n

    def _judge_version(self, key: tuple[str, str], version: int) -> None:
        known = self._versions.get(key, 0)
        if known and version <= known:
            self.counters.reordered += 1
            self.counters.details.append(f"{key} version {version} after {known}")
        elif known and version > known + 1 and key[1] not in self._tampered:
            self.counters.lost += 1
            self.counters.details.append(f"{key} version {version} after {known}: one is missing")


def cached_rows(portal: Portal) -> dict[tuple[str, str], Any]:
    """Return the rows that the portal shows, as they came from the database."""
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
        """Note that the feed stands at ``n`` now."""
        self._commits.append((time.monotonic(), n))

    def look(self, portal: Portal) -> None:
        """Compare what the portal claims with what it shows."""
        now, shown = time.monotonic(), portal._core.replica.n
        self._commits = [(at, n) for at, n in self._commits if n > shown]
        if portal.status.state == "live" and self._commits:
            late_s = now - self._commits[0][0]
            if late_s > self._allowed_s:
                self._counters.stale_while_live += 1
                self._counters.details.append(f"live but {late_s:.1f} s behind")
                self._commits.clear()
