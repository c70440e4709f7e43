"""What the tables show: the rows of the feed with the local writes folded over them.

Pure. The replica is never touched: digests and the store know only what the database said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from portal_sdk._core.difference import RowChange
from portal_sdk._core.write import Entry, WriteState, column_value, patch_row
from portal_sdk.types import ChangeKind, Row

LEDGER = "loyalty_transactions"
Key = tuple[str, str]
Rows = Mapping[str, Row]


@dataclass(frozen=True, slots=True)
class Shift:
    """A shown row became another one; None stands for "not shown"."""

    table: str
    row_id: str
    before: Row | None
    after: Row | None

    def to_change(self, n: int, committed_at: str | None) -> RowChange | None:
        """Return it as a change for the subscribers, or None if nothing is different."""
        row = self.after if self.after is not None else self.before
        if row is None or self.before == self.after:
            return None
        kind: ChangeKind = "update"
        if self.before is None:
            kind = "insert"
        elif self.after is None:
            kind = "delete"
        return RowChange(self.table, kind, self.row_id, row, self.before, n, committed_at)


def fold(base: Row | None, entries: Iterable[Entry]) -> Row | None:
    """OUT-9: return the row to show, given the newest row of the feed and the writes on it.

    A row that the feed has already wins over the one a local insert made up. A confirmed patch
    is folded only over rows that cannot have it yet.
    """
    row = base
    for entry in entries:
        write = entry.write
        if write.makes_row:
            row = write.shown if row is None else row
        elif row is not None and not _has(row, entry):
            row = patch_row(row, write.values)
    return row


def _has(row: Row, entry: Entry) -> bool:
    version = row.get("version")
    if entry.state is WriteState.ACKED and entry.acked_version is not None:
        return isinstance(version, int) and version >= entry.acked_version
    if entry.write.kind == "mark":
        # Set once: whatever was there first stays.
        return all(column_value(row, path) is not None for path in entry.write.values)
    return False


class MergedRows(Mapping[str, Row]):
    """Rows of one table: those of the feed, with the folded ones in their place."""

    __slots__ = ("_base", "_folded")

    def __init__(self, base: Rows, folded: Mapping[str, Row | None]) -> None:
        self._base = base
        self._folded = folded

    def __getitem__(self, row_id: str) -> Row:
        if row_id not in self._folded:
            return self._base[row_id]
        row = self._folded[row_id]
        if row is None:
            raise KeyError(row_id)
        return row

    def __iter__(self) -> Iterator[str]:
        # Lists: a callback's thread may iterate while the portal's loop changes the rows.
        for row_id in list(self._base):
            if self._folded.get(row_id, row_id) is not None:
                yield row_id
        for row_id, row in list(self._folded.items()):
            if row is not None and row_id not in self._base:
                yield row_id

    def __len__(self) -> int:
        folded = list(self._folded.items())
        extra = sum((row is not None) - (row_id in self._base) for row_id, row in folded)
        return len(self._base) + extra


class ShownTables(Mapping[str, Rows]):
    """Every row to show, by table; a live view."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    def __getitem__(self, table: str) -> Rows:
        return self._overlay.rows(table)

    def __iter__(self) -> Iterator[str]:
        return iter(self._overlay.table_names())

    def __len__(self) -> int:
        return len(self._overlay.table_names())


class Overlay:
    """The folded rows; owned by the portal, told of every change of the feed and of the outbox.

    Attributes:
        tables: By table name, every row to show.
    """

    def __init__(self, base: Callable[[], Mapping[str, Rows]]) -> None:
        self.tables = ShownTables(self)
        self._base = base
        self._entries: dict[Key, list[Entry]] = {}
        self._folded: dict[str, dict[str, Row | None]] = {}
        self._folded_over: dict[Key, Row | None] = {}
        self._predicted_over: Rows | None = None

    def rows(self, table: str) -> Rows:
        """Return the rows of one table to show, as a live view."""
        base = self._base().get(table, {})
        folded = self._folded.get(table)
        return MergedRows(base, folded) if folded else base

    def table_names(self) -> set[str]:
        """Return the names of all tables that have rows to show."""
        return {*self._base(), *self._folded}

    def row(self, table: str, row_id: str) -> Row | None:
        """Return one row to show, or None."""
        return self.rows(table).get(row_id)

    def covers(self, table: str, row_id: str) -> bool:
        """Return whether local writes are folded over this row, or may be renumbered by it."""
        return row_id in self._folded.get(table, {}) or (table == LEDGER and table in self._folded)

    def take_writes(self, key: Key, entries: list[Entry]) -> list[Shift]:
        """Show exactly these writes on a row from now on, oldest first."""
        table, row_id = key
        before = self.row(table, row_id)
        if entries:
            self._entries[key] = entries
        else:
            self._entries.pop(key, None)
            self._folded.get(table, {}).pop(row_id, None)
            self._folded_over.pop(key, None)
        return [Shift(table, row_id, before, self._refold(key)), *self._renumber(table, row_id)]

    def shown_before(self, change: RowChange) -> Row | None:
        """Return what was shown of a row that the feed has just changed."""
        folded = self._folded.get(change.table, {})
        return folded.get(change.row_id, change.previous)

    def outdated(self) -> list[Key]:
        """Return the rows whose base was replaced without a change being told of.

        The first snapshot is such a case: it is the starting point, not news.
        """
        if not self._folded_over:
            return []  # as nearly always, and it is asked for after every event
        base = self._base()
        return [
            (table, row_id)
            for (table, row_id), row in self._folded_over.items()
            if base.get(table, {}).get(row_id) is not row
        ]

    def predict_again(self) -> list[Shift]:
        """Return what is different if the whole ledger was replaced without a change being told of.

        The customer's points are not known before it, and so a pending entry was not shown.
        """
        if LEDGER not in self._folded or self._base().get(LEDGER) is self._predicted_over:
            return []
        return self._renumber(LEDGER, "")

    def take_base(self, key: Key, before: Row | None, base: Row | None) -> list[Shift]:
        """The feed made a row ``base``, of which ``before`` was shown: fold again.

        The feed's newest row may be a later one, whose turn to be told comes next.
        """
        table, row_id = key
        return [
            Shift(table, row_id, before, self._fold_over(key, base)),
            *self._renumber(table, row_id),
        ]

    def _refold(self, key: Key) -> Row | None:
        table, row_id = key
        return self._fold_over(key, self._base().get(table, {}).get(row_id))

    def _fold_over(self, key: Key, base: Row | None) -> Row | None:
        table, row_id = key
        entries = self._entries.get(key)
        if not entries:
            if not self._folded.get(table, True):
                del self._folded[table]
            return base
        row = fold(base, entries)
        if table == LEDGER and base is None and row is not None:
            row = self._predicted(row_id, row)
        self._folded.setdefault(table, {})[row_id] = row
        self._folded_over[key] = base
        return row

    def _renumber(self, table: str, except_id: str) -> list[Shift]:
        """OUT-9: a pending ledger entry follows the newest real one."""
        if table != LEDGER:
            return []
        shifts: list[Shift] = []
        for row_id, before in list(self._folded.get(table, {}).items()):
            if row_id != except_id:
                shifts.append(Shift(table, row_id, before, self._refold((table, row_id))))
        return shifts

    def _predicted(self, row_id: str, row: Row) -> Row | None:
        """OUT-15: return the ledger row as the database is going to make it; None if it refuses.

        As far as the feed tells: the earlier pending ones come first, each if it can be paid.
        """
        ledger = self._predicted_over = self._base().get(LEDGER)
        latest: Row = max(
            (ledger or {}).values(),
            key=lambda entry: int(entry.get("entry_no") or 0),
            default=dict[str, Any](),
        )
        balance, entry_no = int(latest.get("balance_after") or 0), int(latest.get("entry_no") or 0)
        for pending in self._pending_before(row_id):
            if balance + int(pending["points"]) >= 0:
                balance, entry_no = balance + int(pending["points"]), entry_no + 1
        balance += int(row["points"])
        return None if balance < 0 else {**row, "entry_no": entry_no + 1, "balance_after": balance}

    def _pending_before(self, row_id: str) -> list[Row]:
        """Return the made-up ledger rows that are sent before this one."""
        base = self._base().get(LEDGER, {})
        pending = {
            entries[0].serial: entries[0].write.shown
            for (table, other_id), entries in self._entries.items()
            if table == LEDGER and other_id not in base
        }
        own = self._entries[LEDGER, row_id][0].serial
        return [pending[serial] for serial in sorted(pending) if serial < own]
