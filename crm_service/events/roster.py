"""Who is in a Realtime room, from its presence frames; pure.

What somebody says of themselves is hearsay: everybody in a room may say anything. Only that they
may enter it is sure, because the database's policies decide that.
"""

from collections.abc import Mapping
from typing import Any


class Roster:
    """Entries of a room by their keys; several devices of one person share a key."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, dict[str, Any]]] = {}

    @property
    def members(self) -> list[dict[str, Any]]:
        """Everybody in the room, in a fixed order: key, devices, and what the newest one says."""
        return [
            {
                "key": key,
                "devices": len(entries),
                "says": {
                    name: value
                    for name, value in list(entries.values())[-1].items()
                    if name not in {"phx_ref", "phx_ref_prev"}
                },
            }
            for key, entries in sorted(self._entries.items())
        ]

    def take(self, event: str, payload: Mapping[str, Any]) -> None:
        """Take a frame in: ``presence_state`` replaces everything, ``presence_diff`` changes it."""
        if event == "presence_state":
            self._entries = {}
            self._join(payload)
            return
        self._join(_mapping(payload.get("joins")))
        for key, refs in _refs(_mapping(payload.get("leaves"))):
            entries = self._entries.get(key, {})
            for ref in refs:
                entries.pop(ref, None)
            if not entries:
                self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget everybody."""
        self._entries = {}

    def _join(self, people: Mapping[str, Any]) -> None:
        for key, metas in _metas(people):
            self._entries.setdefault(key, {}).update(metas)


def _metas(people: Mapping[str, Any]) -> list[tuple[str, dict[str, dict[str, Any]]]]:
    found = []
    for key, entry in people.items():
        listed = _mapping(entry).get("metas")
        metas = [meta for meta in listed if isinstance(meta, dict)] if listed else []
        found.append((key, {str(meta.get("phx_ref")): meta for meta in metas}))
    return found


def _refs(people: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    return [(key, list(metas)) for key, metas in _metas(people)]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
