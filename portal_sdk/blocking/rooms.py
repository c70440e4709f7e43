"""Rooms for plain threads."""

from __future__ import annotations

from typing import Any, Generic, Self, TypeVar, overload

from pydantic import BaseModel

from portal_sdk import rooms
from portal_sdk._runtime.loop_thread import LoopThread
from portal_sdk.blocking.streams import BlockingStream
from portal_sdk.types import Row

RoomT = TypeVar("RoomT", bound=rooms.PresenceRoom | rooms.BroadcastRoom)
ModelT = TypeVar("ModelT", bound=BaseModel)


class _Room(Generic[RoomT]):
    """What both kinds of room have in common."""

    def __init__(self, thread: LoopThread, room: RoomT) -> None:
        self._thread = thread
        self._room = room

    def __enter__(self) -> Self:
        self._thread.run(self._room.__aenter__)
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Name of the room."""
        return self._room.name

    @property
    def is_joined(self) -> bool:
        """Whether the room is joined now; False while it is being joined again."""
        return self._room.is_joined

    def close(self) -> None:
        """Leave the room; iterators end. Calling it twice is harmless."""
        self._thread.run(self._room.close)


class PresenceRoom(_Room[rooms.PresenceRoom]):
    """Who is in a room now; see ``portal_sdk.PresenceRoom``. Use it with ``with``."""

    @property
    def key(self) -> str:
        """The key of our own entry."""
        return self._room.key

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


class BroadcastRoom(_Room[rooms.BroadcastRoom]):
    """Quick messages in a room; see ``portal_sdk.BroadcastRoom``. Use it with ``with``."""

    def send(
        self, event: str, payload: Row | BaseModel | None = None, *, timeout_s: float = 5.0
    ) -> None:
        """Send a message to everyone else in the room, and wait for the server's receipt."""
        self._thread.run(lambda: self._room.send(event, payload, timeout_s=timeout_s))

    @overload
    def events(self, event: str | None = None) -> BlockingStream[rooms.Broadcast[Row]]: ...
    @overload
    def events(
        self, event: str | None, model: type[ModelT]
    ) -> BlockingStream[rooms.Broadcast[ModelT]]: ...
    def events(
        self, event: str | None = None, model: type[BaseModel] | None = None
    ) -> BlockingStream[rooms.Broadcast[Any]]:
        """Return an iterator over the messages from now on; ``model`` as in asyncio."""

        def make() -> Any:
            return self._room.events(event) if model is None else self._room.events(event, model)

        return BlockingStream(self._thread, self._thread.call(make))

    def typing(self) -> TypingIndicator:
        """Return the room's typing indicator."""
        return TypingIndicator(self._thread, self._thread.call(self._room.typing))


class TypingIndicator:
    """Who is typing in a broadcast room; see ``portal_sdk.rooms.TypingIndicator``."""

    def __init__(self, thread: LoopThread, indicator: rooms.TypingIndicator) -> None:
        self._thread = thread
        self._indicator = indicator

    @property
    def keys(self) -> frozenset[str]:
        """The keys of everyone else who is typing now."""
        return self._thread.call(lambda: self._indicator.keys)

    def changes(self) -> BlockingStream[frozenset[str]]:
        """Return an iterator over ``keys`` from now on."""
        return BlockingStream(self._thread, self._thread.call(self._indicator.changes))

    def touch(self) -> None:
        """Say that the user is typing; call it on every keystroke, it sends every 2 seconds."""
        self._thread.run(self._indicator.touch)

    def stop(self) -> None:
        """Say that the user stopped typing."""
        self._thread.run(self._indicator.stop)
