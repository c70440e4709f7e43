"""One local write: what the user asked for, and what became of it. Values only; no I/O."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from portal_sdk._core.json_value import as_object
from portal_sdk.types import Row

PATH_SEPARATOR = "."


class WriteKind(enum.StrEnum):
    """How a write reaches the database."""

    INSERT = "insert"
    """A new row with a client-made id."""
    PATCH = "patch"
    """Some columns of a row, on condition of its version."""
    MARK = "mark"
    """A column that is set once; the first value counts, so no condition is needed."""
    CALL = "call"
    """A function that makes a row with a client-made id."""


class WriteState(enum.StrEnum):
    """Where a write stands."""

    QUEUED = "queued"
    """Kept, shown, and waiting for its turn."""
    SENDING = "sending"
    """On its way; whether it took effect is not known."""
    ACKED = "acked"
    """In effect; the feed has not brought the row back yet."""
    REFUSED = "refused"
    """The database refused it; not shown any more, and kept until someone decides."""
    SYNCED = "synced"
    """In effect, and seen in the feed."""
    DISCARDED = "discarded"
    """Given up by the application before it could take effect."""


@dataclass(frozen=True, slots=True)
class Write:
    """What the user asked for; changes only when the application merges a conflict (OUT-13).

    Attributes:
        write_id: Uuid; the idempotency key.
        scope: Feed scope of the customer who asked.
        kind, table, row_id: What is written where.
        lane: Writes of one lane are sent one after the other.
        values: Columns to write; a patch may name a key of a json column as ``column.key``.
        base: Patch: the same columns as the user saw them.
        shown: Insert and call: the row to show until the database has made the real one.
        function: Call: name of the function; ``values`` are its arguments.
        made_at: When it was made (this machine's clock), ISO 8601 in UTC.
    """

    write_id: str
    scope: str
    kind: WriteKind
    table: str
    row_id: str
    lane: str
    values: Row = field(repr=False)
    base: Row = field(default_factory=dict, repr=False)
    shown: Row = field(default_factory=dict, repr=False)
    function: str | None = None
    made_at: str = ""

    @property
    def makes_row(self) -> bool:
        """Return whether the row does not exist before this write."""
        return self.kind in {WriteKind.INSERT, WriteKind.CALL}


@dataclass(frozen=True, slots=True)
class Entry:
    """A write in the outbox; replaced as a whole when something happens to it.

    Attributes:
        write: What was asked for.
        serial: Order in which writes were made.
        state: Where it stands.
        was_sent: It left at least once, so it may have taken effect.
        sent_version: Patch: the row version it was sent for (OUT-3).
        sent_body: Patch: the columns sent for that version.
        acked_version: Version of the row that has the write in it.
        error: Why it was refused, as JSON values.
    """

    write: Write
    serial: int
    state: WriteState = WriteState.QUEUED
    was_sent: bool = False
    sent_version: int | None = None
    sent_body: Row | None = field(default=None, repr=False)
    acked_version: int | None = None
    error: Mapping[str, Any] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The row it is about: (table, row id)."""
        return self.write.table, self.write.row_id

    @property
    def is_shown(self) -> bool:
        """Return whether the tables show it."""
        return self.state in {WriteState.QUEUED, WriteState.SENDING, WriteState.ACKED}


def column_value(row: Row, path: str) -> Any:
    """Return a column, or a key of a json column; None if it is not there."""
    column, separator, key = path.partition(PATH_SEPARATOR)
    value = row.get(column)
    if not separator:
        return value
    return (as_object(value) or {}).get(key)


def patch_row(row: Row, values: Row) -> Row:
    """Return a new row with these columns; a None for a key of a json column removes the key."""
    patched = dict(row)
    for path, value in values.items():
        column, separator, key = path.partition(PATH_SEPARATOR)
        if not separator:
            patched[column] = value
            continue
        document = dict(as_object(patched.get(column)) or {})
        if value is None:
            document.pop(key, None)
        else:
            document[key] = value
        patched[column] = document
    return patched


def columns_of(values: Row) -> set[str]:
    """Return the columns that these values are about."""
    return {path.partition(PATH_SEPARATOR)[0] for path in values}


def to_stored(entry: Entry) -> Entry:
    """Return the entry as it must be after a restart: a write on its way may have arrived."""
    if entry.state is WriteState.SENDING:
        return replace(entry, state=WriteState.QUEUED)
    return entry
