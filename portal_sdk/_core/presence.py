"""Who is in a room: the server's presence frames merged into members by key. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from portal_sdk._core.json_value import as_list, as_object
from portal_sdk.types import Row

REF = "phx_ref"
PREVIOUS_REF = "phx_ref_prev"
Metas = dict[str, Row]


@dataclass(frozen=True, slots=True)
class Member:
    """Someone in the room, with one or more devices.

    Attributes:
        key: Who: the user id, unless the room was entered under another key.
        metas: What each of their devices says about itself, oldest first.
    """

    key: str
    metas: tuple[Row, ...] = field(repr=False)

    @property
    def meta(self) -> Row:
        """What the newest device says."""
        return self.metas[-1]


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """Someone came, went, or says something else.

    Attributes:
        kind: ``joined``, ``updated`` or ``left``.
        member: The member now; for ``left`` as last seen.
        previous: The member before; None for ``joined``.
    """

    kind: Literal["joined", "updated", "left"]
    member: Member
    previous: Member | None


class PresenceRoster:
    """The members of one room.

    PRES-1: a state replaces everything and is reported as the difference; in a diff joins come
    before leaves, and entries are matched by reference.
    """

    def __init__(self) -> None:
        self._metas: dict[str, Metas] = {}

    @property
    def members(self) -> dict[str, Member]:
        """The members by key; a copy."""
        return {key: _member(key, metas) for key, metas in self._metas.items()}

    def take_state(self, payload: Mapping[str, Any]) -> list[PresenceChange]:
        """Take the full state after a join; ghosts of the old join leave."""
        return self._replace({key: _read(entry) for key, entry in payload.items()})

    def take_diff(self, payload: Mapping[str, Any]) -> list[PresenceChange]:
        """Take what changed."""
        wanted = {key: dict(metas) for key, metas in self._metas.items()}
        for key, entry in _entries(payload, "joins"):
            metas = wanted.setdefault(key, {})
            for ref, meta in _read(entry).items():
                metas.pop(str(meta.get(PREVIOUS_REF, "")), None)
                metas[ref] = meta
        for key, entry in _entries(payload, "leaves"):
            for ref in _read(entry):
                wanted.get(key, {}).pop(ref, None)
        return self._replace(wanted)

    def _replace(self, wanted: dict[str, Metas]) -> list[PresenceChange]:
        wanted = {key: metas for key, metas in wanted.items() if metas}
        old, self._metas = self._metas, wanted
        changes: list[PresenceChange] = []
        for key, metas in old.items():
            if key not in wanted:
                before = _member(key, metas)
                changes.append(PresenceChange("left", before, before))
        for key, metas in wanted.items():
            member = _member(key, metas)
            if key not in old:
                changes.append(PresenceChange("joined", member, None))
            elif member != (before := _member(key, old[key])):
                changes.append(PresenceChange("updated", member, before))
        return changes


def _entries(payload: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    return list((as_object(payload.get(name)) or {}).items())


def _read(entry: Any) -> Metas:
    metas = as_list((as_object(entry) or {}).get("metas")) or []
    objects = [meta for meta in map(as_object, metas) if meta is not None]
    return {str(meta[REF]): meta for meta in objects if REF in meta}


def _member(key: str, metas: Metas) -> Member:
    shown = ({k: v for k, v in m.items() if k not in (REF, PREVIOUS_REF)} for m in metas.values())
    return Member(key, tuple(shown))
