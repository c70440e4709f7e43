"""Reading the replication stream without losing what stands behind a keepalive."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from local_stack.realtime.changes.stream import ReplicationStream


class Cursor:
    """psycopg2's reading: a keepalive gives None, as an empty buffer does, but is noted."""

    def __init__(self, buffered: list[bytes | None]) -> None:
        self._buffered = buffered
        self.io_timestamp = 0

    def read_message(self) -> SimpleNamespace | None:
        if not self._buffered:
            return None
        self.io_timestamp += 1
        payload = self._buffered.pop(0)
        return None if payload is None else SimpleNamespace(payload=payload)


async def test_changes_behind_keepalives_are_read_at_once() -> None:
    seen: list[bytes] = []
    stream = ReplicationStream("", (), seen.append, lambda: False)
    stream._cursor = Cursor([None, b"1", None, None, b"2"])
    stream._lost = asyncio.get_running_loop().create_future()
    stream._drain()
    assert seen == [b"1", b"2"]
