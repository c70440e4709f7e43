"""What a snapshot changes, found piece by piece; the replica then takes all of it over at once.

Pure. Nothing that can happen while a snapshot is awaited changes the rows shown (SYNC-9), so what
was found in many pieces is still true when the last of them is done.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, MutableMapping
from dataclasses import dataclass, field

from portal_sdk._core.digest import TableDigest, TableSummary, row_version
from portal_sdk._core.feed import Snapshot, Tables
from portal_sdk._core.frozen import frozen
from portal_sdk.types import ChangeKind, Row

PIECE_ROWS = 2_000
"""About 1 ms."""


@frozen
class RowChange:
    """A real difference between two moments of the copy.

    ``row`` is the row after the change, for a delete the row as last seen.
    """

    table: str
    kind: ChangeKind
    row_id: str
    row: Row
    previous: Row | None
    n: int
    committed_at: str | None


@dataclass(frozen=True, slots=True)
class Differences:
    """Many row changes; each is made when it is told, deletes first.

    100,000 objects at once would make the collector look at every one of them, which holds up the
    event loop for 0.1 s.

    Attributes:
        before, after: The rows; nobody changes these mappings any more when the changes are told.
        n: The position of all of them.
        deletes, upserts: Per table the ids of rows that are gone, and of those that are others.
    """

    before: Tables = field(repr=False)
    after: Tables = field(repr=False)
    n: int
    deletes: dict[str, Collection[str]] = field(default_factory=dict[str, Collection[str]])
    upserts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def __iter__(self) -> Iterator[RowChange]:
        for table, ids in self.deletes.items():
            for row_id in ids:
                row = self.before[table][row_id]
                yield RowChange(table, "delete", row_id, row, row, self.n, None)
        for table, ids in self.upserts.items():
            before, after = self.before.get(table, {}), self.after[table]
            for row_id in ids:
                previous = before.get(row_id)
                kind: ChangeKind = "insert" if previous is None else "update"
                yield RowChange(table, kind, row_id, after[row_id], previous, self.n, None)

    def __bool__(self) -> bool:
        return any(self.deletes.values()) or any(self.upserts.values())


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows of a snapshot, ready to be shown, and how they differ from those shown before.

    Attributes:
        tables, summaries: Belong to whoever takes the rows over.
        changes: Empty if nobody wanted to know them.
    """

    tables: dict[str, MutableMapping[str, Row]] = field(repr=False)
    summaries: dict[str, TableSummary] = field(repr=False)
    changes: Differences = field(repr=False)


def compare(
    shown: Tables, snapshot: Snapshot, *, is_reported: bool, piece_rows: int = PIECE_ROWS
) -> Generator[None, None, Comparison]:
    """Compare a snapshot with the rows shown; yield after each piece, return the comparison.

    Args:
        shown: The rows shown. If they change between two pieces, do not go on.
        snapshot: Its rows stay as they are. Rows that are the same objects cost next to nothing.
        is_reported: Whether the changes are wanted (SYNC-8).
        piece_rows: So many rows are looked at in one piece.
    """
    found = Comparison({}, {}, Differences(shown, snapshot.tables, snapshot.n))
    if is_reported:
        yield from _find_deletes(found.changes, piece_rows)
    for table, rows in snapshot.tables.items():
        found.tables[table] = dict(rows)  # the snapshot's own mappings are being stored
        known = snapshot.known.get(table)
        summary = found.summaries[table] = known or TableSummary(TableDigest(), set())
        before = shown.get(table, {})
        others = found.changes.upserts[table] = []
        for count, (row_id, row) in enumerate(rows.items(), 1):
            if known is None:
                summary.digest.add(row_id, row_version(row))
                summary.shapes.add(tuple(row))
            if is_reported and not _is_same(before.get(row_id), row):
                others.append(row_id)
            if count % piece_rows == 0:
                yield
    return found


def compare_at_once(shown: Tables, snapshot: Snapshot, *, is_reported: bool) -> Comparison:
    """Compare a snapshot with the rows shown, in one piece; see ``compare``."""
    comparing = compare(shown, snapshot, is_reported=is_reported)
    while True:
        try:
            next(comparing)
        except StopIteration as end:
            found: Comparison = end.value
            return found


def all_deleted(shown: Tables) -> Differences:
    """Return the deletes of all these rows."""
    return Differences(shown, {}, 0, deletes=dict(shown))


def all_inserted(shown: Tables, n: int) -> Differences:
    """Return the inserts of all these rows."""
    return Differences({}, shown, n, upserts={table: list(rows) for table, rows in shown.items()})


def _find_deletes(found: Differences, piece_rows: int) -> Generator[None, None, None]:
    for table, rows in found.before.items():
        wanted = found.after.get(table, {})
        gone: list[str] = []
        found.deletes[table] = gone
        for count, row_id in enumerate(rows, 1):
            if row_id not in wanted:
                gone.append(row_id)
            if count % piece_rows == 0:
                yield


def _is_same(row: Row | None, other: Row) -> bool:
    return row is other or row == other
