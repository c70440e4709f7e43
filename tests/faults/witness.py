"""What one portal showed, judged against the database as that customer sees it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from portal_sdk import Change, Portal
from tests.faults.counters import Counters
from tests.faults.freshness import Freshness


class Witness:
    """Follows one portal; a portal that is killed and started again gets the same witness.

    Attributes:
        tampered: Rows whose version was raised behind the feed's back: they may skip one.
        freshness: Judges what it says of its freshness; None where nobody notes the commits.
    """

    def __init__(
        self, customer_id: str, counters: Counters, tampered: set[str],
        freshness: Freshness | None = None,
    ) -> None:  # fmt: skip
        self.customer_id = customer_id
        self.counters = counters
        self.freshness = freshness
        self._tampered = tampered
        self._last_n = 0
        self._versions: dict[tuple[str, str], int] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def follow(self, portal: Portal) -> None:
        """Read every change of this portal from now on."""
        # The stream is made now: a change before the task's first turn counts, too.
        stream = portal.changes()
        self._tasks.append(asyncio.create_task(self._read(stream), name="witness"))
        if self.freshness is not None:
            self._tasks.append(self.freshness.follow(portal))

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
