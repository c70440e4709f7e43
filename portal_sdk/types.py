"""Public value types. Frozen; no behaviour beyond reading."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from portal_sdk.errors import PortalError

RecordT_co = TypeVar("RecordT_co", covariant=True)

ChangeKind = Literal["insert", "update", "delete"]
ChangeSource = Literal["live", "catch_up", "resync", "local"]
DoorbellKind = Literal["broadcast", "postgres_changes"]
Doorbell = Literal["broadcast", "postgres_changes", "polling", "none"]
Row = dict[str, Any]


class SyncState(enum.StrEnum):
    """How far the portal's tables may be trusted at this moment."""

    CONNECTING = "connecting"
    """Nothing to show yet; signing in, opening or waiting for the first answer."""
    CATCHING_UP = "catching_up"
    """Connected, and reading what was missed."""
    LIVE = "live"
    """The doorbell is joined and the database answered within the verify interval."""
    STALE = "stale"
    """Rows are shown as of ``fresh_as_of``; the connection is lost or in doubt."""
    OFFLINE = "offline"
    """The server cannot be reached, or the portal is paused; it goes on trying."""
    NEEDS_AUTH = "needs_auth"
    """The session was refused; ``last_error`` says what to do."""
    CLOSED = "closed"
    """The portal was closed."""


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """What is known about the freshness of the tables.

    Attributes:
        state: See :class:`SyncState`; compares equal to its string.
        since: When this state began (this machine's clock, UTC).
        fresh_as_of: The database's clock at the last moment the tables were known to be
            complete, or None before the first one.
        last_error: What failed last, until the portal is live again.
        doorbell: Which doorbell is in use now.
        pending_writes: Local writes the server has not confirmed.
    """

    state: SyncState
    since: datetime
    fresh_as_of: datetime | None = None
    last_error: PortalError | None = None
    doorbell: Doorbell = "none"
    pending_writes: int = 0


@dataclass(frozen=True, slots=True)
class Change(Generic[RecordT_co]):
    """One committed change of one row, as this customer may see it.

    Attributes:
        table: Table name, such as ``jobs``.
        kind: ``delete`` also means that the row left what the customer may see.
        record: The row after the change; for a delete the row as last seen.
        previous: The row before the change from the local store; None for an insert.
        source: ``live``, ``catch_up`` (missed while away, found by polling, or by a verification
            before a ring that was late), ``resync`` (found by comparing a full snapshot) or
            ``local``.
        n: Position in the customer's change feed.
        committed_at: The database's commit instant; None for a resync.
    """

    table: str
    kind: ChangeKind
    record: RecordT_co
    previous: RecordT_co | None
    source: ChangeSource
    n: int
    committed_at: datetime | None
