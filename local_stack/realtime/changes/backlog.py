"""Decoded changes that wait for delivery, bounded in number and in bytes. Pure but for waking.

Policy: nothing is dropped. When the backlog is full the stream is not read any further until half
of it has been delivered, and PostgreSQL keeps the log meanwhile (up to its own
``max_slot_wal_keep_size``; beyond that it ends the stream, and the channels are subscribed anew).
Broadcasts from SQL travel in the same stream and wait too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from local_stack.realtime.changes.change import Change
from local_stack.realtime.changes.pgoutput import Relation


class Backlog:
    """A queue with one writer, the stream, and one reader, the delivery.

    Args:
        max_changes, max_bytes: from either of them on it is full; it may exceed them by one change.
        on_room: called when a backlog that was full has emptied by half.
    """

    def __init__(self, max_changes: int, max_bytes: int, on_room: Callable[[], None]) -> None:
        self._max_changes = max_changes
        self._max_bytes = max_bytes
        self._on_room = on_room
        self._waiting: deque[tuple[Change, int]] = deque()
        self._bytes = 0
        self._is_full = False
        self._filled = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be put in now."""
        return self._is_full

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, change: Change) -> None:
        """Add a change; it is never refused."""
        size = change.size_bytes
        self._waiting.append((change, size))
        self._bytes += size
        if len(self._waiting) >= self._max_changes or self._bytes >= self._max_bytes:
            self._is_full = True
        self._filled.set()

    async def get(self, limit: int) -> list[Change]:
        """Wait for the oldest change and take it out, with those behind it that may go along.

        Changes go along up to `limit` of them, and as long as no table is described anew.
        """
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        taken: list[Change] = []
        described: dict[int, Relation] = {}
        while self._waiting and len(taken) < limit:
            change, size = self._waiting[0]
            if described.setdefault(change.relation.oid, change.relation) is not change.relation:
                break
            self._waiting.popleft()
            self._bytes -= size
            taken.append(change)
        if self._is_full and self._is_half_empty():
            self._is_full = False
            self._on_room()
        return taken

    def _is_half_empty(self) -> bool:
        return len(self._waiting) <= self._max_changes // 2 and self._bytes <= self._max_bytes // 2
