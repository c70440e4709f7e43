"""What the OutboxMachine orders."""

from __future__ import annotations

from dataclasses import dataclass, field

from portal_sdk._core.write import Entry
from portal_sdk.errors import PortalError
from portal_sdk.types import Row


@dataclass(frozen=True, slots=True)
class SaveEntry:
    """Make the entry durable, before the next order is carried out."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class ForgetEntry:
    """Remove the entry from the store: it is settled or given up."""

    write_id: str


@dataclass(frozen=True, slots=True)
class SendWrite:
    """Send it; exactly one outcome must be told.

    A repetition is a write that left before, and nobody knows what became of it (OUT-14).
    """

    entry: Entry
    is_repetition: bool = False


@dataclass(frozen=True, slots=True)
class LookForRow:
    """Ask the database for the row of a confirmed write that the feed has not brought back."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class AskMerge:
    """Ask the application what these conflicting columns become; MergeDecided must be told."""

    entry: Entry
    row: Row = field(repr=False)
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShowWrites:
    """The writes on this row changed: show it anew."""

    key: tuple[str, str]
    entries: list[Entry] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReportState:
    """Tell the application where the write stands now."""

    entry: Entry
    error: PortalError | None = None


OutboxEffect = (
    SaveEntry | ForgetEntry | SendWrite | LookForRow | AskMerge | ShowWrites | ReportState
)
