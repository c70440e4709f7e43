"""The local copy of the customer's rows: a pure value store with its cursor and digest."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field

from portal_sdk._core.difference import (
    Comparison,
    Differences,
    RowChange,
    all_deleted,
    all_inserted,
)
from portal_sdk._core.digest import (
    EMPTY_DIGEST,
    TableDigest,
    TableSummary,
    columns_hash,
    row_version,
)
from portal_sdk._core.feed import Columns, Digest, FeedChange, Forms, Tables
from portal_sdk._core.frozen import frozen
from portal_sdk.types import Row


@frozen
class Commit:
    """What must become durable in one store transaction: rows and cursor together."""

    scope: str
    epoch: str
    n: int
    upserts: tuple[tuple[str, str, Row], ...] = ()
    removes: tuple[tuple[str, str], ...] = ()
    as_of: str | None = None
    """The database's clock, if these rows are complete as of it."""
    everything: Tables | None = None
    """All rows, instead of those that are stored; nobody changes these mappings any more."""
    forms: Forms = field(default_factory=dict[str, str])
    """With ``everything``: the form of the tables that these rows were read from."""


@dataclass(slots=True)
class Replica:
    """Rows by table and id at feed position ``n`` of ``epoch``; owned by the SyncMachine.

    Rows are never mutated in place: a change puts a new dict in, so readers may keep old ones.
    """

    epoch: str | None = None
    n: int = 0
    tables: dict[str, MutableMapping[str, Row]] = field(default_factory=dict)
    digests: dict[str, TableDigest] = field(default_factory=dict)
    shapes: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    """Per table: the column names of every row since everything was read last."""
    forms: Forms = field(default_factory=dict[str, str])
    """The form of the tables when everything was read last (SYNC-23)."""
    load_count: int = 0
    """How often all rows were replaced at once; not every such change is reported singly."""

    def load(
        self, epoch: str, n: int, tables: Tables, known: Mapping[str, TableSummary] | None = None
    ) -> None:
        """Take over stored rows and their cursor, into an empty replica.

        Args:
            epoch: Of the cursor.
            n: Of the cursor.
            tables: The rows.
            known: Of tables whose rows belong to this replica from now on: what is known of them.
        """
        for table, rows in tables.items():
            summary = (known or {}).get(table)
            if summary is not None and isinstance(rows, MutableMapping):
                self.tables[table] = rows
                self.digests[table], self.shapes[table] = summary.digest, summary.shapes
                continue
            digest = self.digests[table] = TableDigest()
            for row_id, row in rows.items():
                digest.add(row_id, row_version(row))
            self.shapes[table] = {tuple(row) for row in rows.values()}
            self.tables[table] = dict(rows)
        self.epoch, self.n = epoch, n
        self.load_count += 1

    def apply(self, change: FeedChange) -> RowChange | None:
        """Apply the entry that follows the cursor; return what really changed.

        SYNC-5: a blanked upsert changes nothing but the cursor.
        """
        self.n = change.n
        if change.is_remove:
            return self._remove(change.table, change.row_id, change.n, change.committed_at)
        if change.row is None:
            return None
        return self._upsert(change.table, change.row_id, change.row, change.n, change.committed_at)

    def take(self, epoch: str, n: int, comparison: Comparison) -> None:
        """Show the rows of a snapshot that was compared with these, in one moment.

        Whoever still reads the rows of before, in whatever thread, sees all of them.
        """
        self.tables = comparison.tables
        summaries = comparison.summaries
        self.digests = {table: summary.digest for table, summary in summaries.items()}
        self.shapes = {table: summary.shapes for table, summary in summaries.items()}
        self.epoch, self.n = epoch, n
        self.load_count += 1

    def purge(self) -> Differences:
        """Forget every row and the cursor, in one moment; return the deletes."""
        deletes = all_deleted(self.tables)
        self.tables, self.digests, self.shapes = {}, {}, {}
        self.epoch, self.n, self.forms = None, 0, {}
        self.load_count += 1
        return deletes

    def all_inserted(self) -> Differences:
        """Return the inserts of all rows as they are now."""
        return all_inserted(self._copy(), self.n)

    def matches(self, digest: Digest) -> bool:
        """Return whether every table the database counted is the same here."""
        return all(self.digest_of(table) == entry for table, entry in digest.items())

    def has_columns(self, columns: Columns) -> bool:
        """Return whether every row has the columns that the database has (SYNC-22)."""
        return all(
            columns_hash(shape) == columns[table]
            for table, shapes in self.shapes.items()
            if table in columns and self.tables.get(table)
            for shape in shapes
        )

    def has_forms(self, forms: Forms) -> bool:
        """Return whether no table was rewritten since everything was read (SYNC-23)."""
        return all(self.forms.get(table) == form for table, form in forms.items())

    def digest_of(self, table: str) -> tuple[int, str]:
        """Return (count, hash) of one table."""
        digest = self.digests.get(table)
        return digest.freeze() if digest else EMPTY_DIGEST

    def commit_of(
        self, scope: str, touched: Iterable[tuple[str, str]], as_of: str | None
    ) -> Commit:
        """Return the commit of these rows, each given as (table, id), as they are now."""
        upserts: list[tuple[str, str, Row]] = []
        removes: list[tuple[str, str]] = []
        for table, row_id in touched:
            row = self.tables.get(table, {}).get(row_id)
            if row is None:
                removes.append((table, row_id))
            else:
                upserts.append((table, row_id, row))
        return Commit(scope, self.epoch or "", self.n, tuple(upserts), tuple(removes), as_of=as_of)

    def commit_all(self, scope: str, as_of: str | None) -> Commit:
        """Return the commit that replaces everything stored by the rows as they are now."""
        return self.commit_of_snapshot(scope, self._copy(), as_of)

    def commit_of_snapshot(self, scope: str, everything: Tables, as_of: str | None) -> Commit:
        """Return the commit of the snapshot that was taken over just now."""
        return Commit(
            scope, self.epoch or "", self.n, as_of=as_of, everything=everything, forms=self.forms
        )

    def _copy(self) -> Tables:
        return {table: copy.copy(rows) for table, rows in self.tables.items()}

    def _upsert(
        self, table: str, row_id: str, row: Row, n: int, committed_at: str | None
    ) -> RowChange | None:
        if table not in self.tables:
            self.tables[table], self.digests[table], self.shapes[table] = {}, TableDigest(), set()
        rows, digest = self.tables[table], self.digests[table]
        self.shapes[table].add(tuple(row))
        previous = rows.get(row_id)
        if previous == row:
            return None
        rows[row_id] = row
        if previous is None:
            digest.add(row_id, row_version(row))
            return RowChange(table, "insert", row_id, row, None, n, committed_at)
        digest.replace(row_id, row_version(previous), row_version(row))
        return RowChange(table, "update", row_id, row, previous, n, committed_at)

    def _remove(
        self, table: str, row_id: str, n: int, committed_at: str | None
    ) -> RowChange | None:
        previous = self.tables.get(table, {}).pop(row_id, None)
        if previous is None:
            return None
        self.digests[table].remove(row_id, row_version(previous))
        return RowChange(table, "delete", row_id, previous, previous, n, committed_at)
