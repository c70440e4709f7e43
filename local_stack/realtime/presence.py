"""Who is present in a room, as clients see it. Pure: references come in as arguments.

One entry per channel; several channels may share a key.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Meta: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, dict[str, list[Meta]]]


@dataclass(frozen=True, slots=True)
class Diff:
    """What one call changed; empty when nothing did."""

    joins: State
    leaves: State

    def __bool__(self) -> bool:
        return bool(self.joins or self.leaves)

    def to_payload(self) -> dict[str, State]:
        """Return the payload of ``presence_diff``."""
        return {"joins": self.joins, "leaves": self.leaves}


NO_DIFF = Diff({}, {})


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str
    payload: dict[str, Any]
    meta: Meta


@dataclass(slots=True)
class PresenceRoom:
    """Entries of one room by owner. Owner: ``PresenceRooms``."""

    _entries: dict[Hashable, _Entry] = field(default_factory=dict)

    def track(self, owner: Hashable, key: str, payload: dict[str, Any], ref: str) -> Diff:
        """Set or replace the entry of an owner; an identical payload changes nothing."""
        before = self._entries.get(owner)
        if before is not None and before.payload == payload:
            return NO_DIFF
        meta: Meta = {**payload, "phx_ref": ref}
        if before is not None:
            meta["phx_ref_prev"] = before.meta["phx_ref"]
        self._entries[owner] = _Entry(key, payload, meta)
        leaves = {} if before is None else _one(before)
        return Diff(_one(self._entries[owner]), leaves)

    def untrack(self, owner: Hashable) -> Diff:
        """Remove the entry of an owner, if there is one."""
        before = self._entries.pop(owner, None)
        return NO_DIFF if before is None else Diff({}, _one(before))

    def state(self) -> State:
        """Return everybody, grouped by key."""
        state: State = {}
        for entry in self._entries.values():
            state.setdefault(entry.key, {"metas": []})["metas"].append(entry.meta)
        return state

    def __bool__(self) -> bool:
        return bool(self._entries)


def _one(entry: _Entry) -> State:
    return {entry.key: {"metas": [entry.meta]}}


class PresenceRooms:
    """Presence of every room. Owner: the server; used from the event loop only."""

    def __init__(self) -> None:
        self._rooms: dict[Hashable, PresenceRoom] = {}

    def track(self, room: Hashable, owner: Hashable, key: str, payload: dict[str, Any]) -> Diff:
        """Set the entry of an owner in a room."""
        entries = self._rooms.setdefault(room, PresenceRoom())
        return entries.track(owner, key, payload, make_ref())

    def untrack(self, room: Hashable, owner: Hashable) -> Diff:
        """Remove the entry of an owner; an empty room is forgotten."""
        entries = self._rooms.get(room)
        if entries is None:
            return NO_DIFF
        diff = entries.untrack(owner)
        if not entries:
            del self._rooms[room]
        return diff

    def state(self, room: Hashable) -> State:
        """Return everybody in a room."""
        entries = self._rooms.get(room)
        return {} if entries is None else entries.state()


def make_ref() -> str:
    """Return a unique opaque reference of 16 URL-safe characters."""
    return base64.urlsafe_b64encode(secrets.token_bytes(12)).decode()
