"""Rooms for plain threads."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel

from portal_sdk import rooms
from portal_sdk._runtime.loop_thread import LoopThread
from portal_sdk.blocking.streams import BlockingStream
from portal_sdk.types import Row


class PresenceRoom:
    """Who is in a room now; see ``portal_sdk.PresenceRoom``. Use it with ``with``."""

    def __init__(self, thread: LoopThread, room: rooms.PresenceRoom) -> None:
        self._thread = thread
        self._room = room

    def __enter__(self) -> Self:
        self._thread.run(self._room.__aenter__)
        return self

    def __exit__(self, *_details: object) -> None:
        self._thread.run(self._room.close)

    @property
    def members(self) -> dict[str, rooms.Member]:
        """Everyone in the room by key; a copy."""
        return self._thread.call(lambda: self._room.members)

    def changes(self) -> BlockingStream[rooms.PresenceChange]:
        """Return an iterator over everyone who comes, changes and goes from now on."""
        return BlockingStream(self._thread, self._thread.call(self._room.changes))

    def update(self, meta: Row | None) -> None:
        """Say something else about ourselves; None leaves the list."""
        self._thread.call(lambda: self._room.update(meta))


class BroadcastRoom:
    """Quick messages in a room; see ``portal_sdk.BroadcastRoom``. Use it with ``with``."""

    def __init__(self, thread: LoopThread, room: rooms.BroadcastRoom) -> None:
        self._thread = thread
        self._room = room

    def __enter__(self) -> Self:
        self._thread.run(self._room.__aenter__)
        return self

    def __exit__(self, *_details: object) -> None:
        self._thread.run(self._room.close)

    def send(
        self, event: str, payload: Row | BaseModel | None = None, *, timeout_s: float = 5.0
    ) -> None:
        """Send a message to everyone else in the room, and wait for the server's receipt."""
        self._thread.run(lambda: self._room.send(event, payload, timeout_s=timeout_s))

    def events(self, event: str | None = None) -> BlockingStream[rooms.Broadcast[Row]]:
        """Return an iterator over the messages from now on."""
        return BlockingStream(self._thread, self._thread.call(lambda: self._room.events(event)))
