"""One change of one row, and assembling it from replication messages. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from local_stack.realtime.changes.pgoutput import (
    Begin,
    Delete,
    Insert,
    Relation,
    Unchanged,
    Update,
    Values,
)
from local_stack.realtime.errors import PgOutputError

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Change:
    """A committed change.

    Attributes:
        action: INSERT, UPDATE or DELETE.
        new: the row now, by column; large values that did not travel are missing. Empty for DELETE.
        old: the identity before: the key, or the whole row under full identity. Empty for INSERT.
            None for an update whose key did not change and did not travel: take it from ``new``.
        committed_us: microseconds since 2000-01-01 UTC.
        xid: the transaction, 32 bits.
    """

    action: str
    relation: Relation
    new: dict[str, str | None]
    old: dict[str, str | None] | None
    committed_us: int
    xid: int

    @property
    def commit_timestamp(self) -> str:
        """Commit time as clients get it: UTC with milliseconds."""
        return render_commit_time(self.committed_us)

    def identity(self, key_names: tuple[str, ...]) -> dict[str, str | None]:
        """Return the identity before the change, given the primary key."""
        if self.old is not None:
            return self.old
        return {name: self.new[name] for name in key_names if name in self.new}

    @property
    def size_bytes(self) -> int:
        """Length of all values; decides whether the change is too large to be told."""
        images = (self.new, self.old or {})
        return sum(len(value.encode()) for image in images for value in image.values() if value)


def render_commit_time(committed_us: int) -> str:
    """Return ``YYYY-MM-DDTHH:MM:SS.mmmZ``."""
    moment = _EPOCH + timedelta(microseconds=committed_us)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def assemble(message: Insert | Update | Delete, relation: Relation, begin: Begin) -> Change:
    """Return the change a replication message tells about.

    Raises:
        PgOutputError: the number of values is not that of the relation's columns.
    """
    if isinstance(message, Insert):
        return Change(
            "INSERT", relation, row_of(relation, message.new), {}, begin.committed_us, begin.xid
        )
    if isinstance(message, Delete):
        old = _old(relation, message.old, is_full=message.old_is_full)
        return Change("DELETE", relation, {}, old, begin.committed_us, begin.xid)
    new = row_of(relation, message.new)
    if message.old is None:
        return Change("UPDATE", relation, new, None, begin.committed_us, begin.xid)
    old = _old(relation, message.old, is_full=message.old_is_full)
    # What did not travel with the new row is the same as before: under full identity, or a key that
    # is so large that it is stored out of line.
    names = [column.name for column in relation.columns if column.name in new or column.name in old]
    new = {name: new[name] if name in new else old[name] for name in names}
    return Change("UPDATE", relation, new, old, begin.committed_us, begin.xid)


def _mismatch(relation: Relation, values: Values) -> PgOutputError:
    return PgOutputError(f"{len(values)} values for the {len(relation.columns)} columns of a table")


def _pairs(relation: Relation, values: Values) -> list[tuple[str, bool, str | Unchanged | None]]:
    if len(values) != len(relation.columns):
        raise _mismatch(relation, values)
    return [
        (column.name, column.is_key, value)
        for column, value in zip(relation.columns, values, strict=True)
    ]


def row_of(relation: Relation, values: Values) -> dict[str, str | None]:
    """Return a row by column, without large values that did not travel.

    Raises:
        PgOutputError: the number of values is not that of the relation's columns.
    """
    if len(values) != len(relation.columns):
        raise _mismatch(relation, values)
    return {
        column.name: value
        for column, value in zip(relation.columns, values, strict=True)
        if not isinstance(value, Unchanged)
    }


def _old(relation: Relation, values: Values, *, is_full: bool) -> dict[str, str | None]:
    return {
        name: value
        for name, is_key, value in _pairs(relation, values)
        if (is_full or is_key) and not isinstance(value, Unchanged)
    }
