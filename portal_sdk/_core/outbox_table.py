"""The total state x event table of a write in the outbox (docs/protocol/outbox.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portal_sdk._core.rules import Rule, Table
from portal_sdk._core.write import WriteState
from portal_sdk.errors import PortalError
from portal_sdk.types import Row


@dataclass(frozen=True, slots=True)
class SendDue:
    """It is this write's turn."""

    write_id: str


@dataclass(frozen=True, slots=True)
class WriteApplied:
    """The database has the write; ``row`` is the row with it, or None if it left since."""

    write_id: str
    row: Row | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class WriteStale:
    """The row has another version than the write was sent for, and the write is not in it."""

    write_id: str
    row: Row | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class WriteRefused:
    """The database refused it; it has no effect."""

    write_id: str
    error: PortalError


@dataclass(frozen=True, slots=True)
class WriteFailed:
    """It is not known whether it took effect."""

    write_id: str
    error: PortalError


@dataclass(frozen=True, slots=True)
class MergeDecided:
    """The application said what a conflict becomes; None leaves it a refusal."""

    write_id: str
    row: Row = field(repr=False)
    values: Mapping[str, Any] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class RowSeen:
    """The feed shows the row at this version; None when it left."""

    write_id: str
    version: int | None


@dataclass(frozen=True, slots=True)
class RowMissing:
    """The database was asked for the row of a confirmed write and does not show it."""

    write_id: str


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """The application wants a refused write sent once more."""

    write_id: str


@dataclass(frozen=True, slots=True)
class DiscardAsked:
    """The application gives a write up."""

    write_id: str


WriteEvent = (
    SendDue
    | WriteApplied
    | WriteStale
    | WriteRefused
    | WriteFailed
    | MergeDecided
    | RowSeen
    | RowMissing
    | RetryAsked
    | DiscardAsked
)

_W = WriteState


def _rule(action: str, spec: str, *targets: WriteState) -> Rule[WriteState]:
    return Rule(action, frozenset(targets), spec)


def _ignore(state: WriteState, spec: str) -> Rule[WriteState]:
    return _rule("ignore", spec, state)


OUTBOX_TABLE: Table[WriteState] = {
    _W.QUEUED: {
        SendDue: _rule("send", "OUT-5", _W.SENDING),
        WriteApplied: _ignore(_W.QUEUED, "OUT-6"),
        WriteStale: _ignore(_W.QUEUED, "OUT-6"),
        WriteRefused: _ignore(_W.QUEUED, "OUT-6"),
        WriteFailed: _ignore(_W.QUEUED, "OUT-6"),
        MergeDecided: _ignore(_W.QUEUED, "OUT-13"),
        RowSeen: _ignore(_W.QUEUED, "OUT-8"),
        RowMissing: _ignore(_W.QUEUED, "OUT-8"),
        RetryAsked: _ignore(_W.QUEUED, "OUT-7"),
        DiscardAsked: _rule("discard_unsent", "OUT-12", _W.QUEUED, _W.DISCARDED),
    },
    _W.SENDING: {
        SendDue: _ignore(_W.SENDING, "OUT-5"),
        WriteApplied: _rule("acknowledge", "OUT-8", _W.ACKED, _W.SYNCED),
        WriteStale: _rule(
            "rebase", "OUT-4", _W.SENDING, _W.QUEUED, _W.ACKED, _W.SYNCED, _W.REFUSED
        ),
        WriteRefused: _rule("refuse", "OUT-7", _W.REFUSED),
        WriteFailed: _rule("wait", "OUT-6", _W.QUEUED),
        MergeDecided: _rule("merge", "OUT-13", _W.QUEUED, _W.ACKED, _W.SYNCED, _W.REFUSED),
        RowSeen: _ignore(_W.SENDING, "OUT-8"),
        RowMissing: _ignore(_W.SENDING, "OUT-8"),
        RetryAsked: _ignore(_W.SENDING, "OUT-7"),
        DiscardAsked: _ignore(_W.SENDING, "OUT-12"),
    },
    _W.ACKED: {
        SendDue: _ignore(_W.ACKED, "OUT-5"),
        WriteApplied: _ignore(_W.ACKED, "OUT-6"),
        WriteStale: _ignore(_W.ACKED, "OUT-6"),
        WriteRefused: _ignore(_W.ACKED, "OUT-6"),
        WriteFailed: _ignore(_W.ACKED, "OUT-6"),
        MergeDecided: _ignore(_W.ACKED, "OUT-13"),
        RowSeen: _rule("settle_if_seen", "OUT-8", _W.ACKED, _W.SYNCED),
        RowMissing: _rule("settle", "OUT-8", _W.SYNCED),
        RetryAsked: _ignore(_W.ACKED, "OUT-7"),
        DiscardAsked: _ignore(_W.ACKED, "OUT-12"),
    },
    _W.REFUSED: {
        SendDue: _ignore(_W.REFUSED, "OUT-7"),
        WriteApplied: _ignore(_W.REFUSED, "OUT-6"),
        WriteStale: _ignore(_W.REFUSED, "OUT-6"),
        WriteRefused: _ignore(_W.REFUSED, "OUT-6"),
        WriteFailed: _ignore(_W.REFUSED, "OUT-6"),
        MergeDecided: _ignore(_W.REFUSED, "OUT-13"),
        RowSeen: _rule("settle_if_made", "OUT-14", _W.REFUSED, _W.SYNCED),
        RowMissing: _ignore(_W.REFUSED, "OUT-8"),
        RetryAsked: _rule("requeue", "OUT-7", _W.QUEUED),
        DiscardAsked: _rule("discard", "OUT-12", _W.DISCARDED),
    },
}
