"""Who is in which room, and handing one message to all of them.

A room is a sub-topic together with public or private: the two never mix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from local_stack.realtime.wire import Push, Version

PREFIX = "realtime:"


@dataclass(frozen=True, slots=True)
class RoomKey:
    """Identity of a room: the topic without prefix, and whether it is private."""

    sub_topic: str
    private: bool

    @property
    def topic(self) -> str:
        """The topic as on the wire."""
        return PREFIX + self.sub_topic


class Member(Protocol):
    """What a room needs of a channel."""

    @property
    def version(self) -> Version:
        """Serializer of the member's socket."""
        ...

    def deliver_broadcast(self, push: Push, message_id: str | None) -> None:
        """Take a broadcast; must not block."""

    def deliver_presence(self, push: Push) -> None:
        """Take a presence_diff; must not block."""


class Rooms:
    """All rooms of the server. Owner: the server; used from the event loop only."""

    def __init__(self) -> None:
        self._members: dict[RoomKey, dict[Member, None]] = {}

    def enter(self, key: RoomKey, member: Member) -> None:
        """Add a member to a room."""
        self._members.setdefault(key, {})[member] = None

    def leave(self, key: RoomKey, member: Member) -> None:
        """Take a member out; no error when it is not there."""
        members = self._members.get(key)
        if members is None:
            return
        members.pop(member, None)
        if not members:
            del self._members[key]

    def members(self, key: RoomKey) -> Iterator[Member]:
        """Return the members at this moment, in order of entry."""
        return iter(tuple(self._members.get(key, ())))

    def is_empty(self, key: RoomKey) -> bool:
        """Return whether nobody is in a room."""
        return key not in self._members

    def broadcast(
        self,
        key: RoomKey,
        push: Push,
        *,
        message_id: str | None = None,
        without: Member | None = None,
    ) -> int:
        """Hand a broadcast to every member but one and return how many got it."""
        count = 0
        for member in self.members(key):
            if member is not without:
                member.deliver_broadcast(push, message_id)
                count += 1
        return count
