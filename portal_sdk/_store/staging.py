"""All rows anew, written a few at a time beside those that count.

Each row in the file belongs to a generation, and the cursor names the one that counts. So a large
snapshot is written in short transactions while the old rows stay in force; one more moves the
cursor to the new generation; what is left of others is erased afterwards, again a few at a time.
Killed at any point, the file holds the old rows with the old cursor, or the new with the new.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice

from portal_sdk._core.feed import Tables
from portal_sdk._store.row_table import Shape, Upsert, write_rows

STEP_ROWS = 500
"""About 10 ms, which is how long a write of the application may have to wait."""
PREFIX_DIGITS = 2


class Staging:
    """One generation on its way into the file; nobody reads it before it is complete.

    Args:
        tables: The rows. Nobody changes these mappings meanwhile.
        generation: Its number; no other rows of the file have it.
        write: Opens a transaction, or gives None if this staging is not wanted any more.

    Attributes:
        shapes: The column names of the rows written so far.
        is_complete: Whether every row is in the file.
    """

    def __init__(
        self,
        tables: Tables,
        generation: int,
        write: Callable[[Staging], AbstractContextManager[sqlite3.Connection | None]],
    ) -> None:
        self.tables = tables
        self.generation = generation
        self.shapes: set[Shape] = set()
        self.is_complete = False
        self._write = write
        self._rows = rows_in_order(tables)

    def advance(self) -> bool:
        """Write some more rows, in any thread; return whether there is more to do.

        Raises:
            StoreError: They were not written; this staging is of no use any more.
        """
        with self._write(self) as connection:
            if connection is None:
                return False
            rows = list(islice(self._rows, STEP_ROWS))
            write_rows(connection, self.generation, rows)
        self.shapes.update((table, tuple(row)) for table, _row_id, row in rows)
        self.is_complete = len(rows) < STEP_ROWS
        return not self.is_complete


def rows_in_order(tables: Tables) -> Iterator[Upsert]:
    """Give the rows nearly in the order of the file: written at random they cost four times more.

    Only nearly, and in parts: sorting everything at once would hold up every other thread.
    """
    for table, rows in tables.items():
        parts: dict[str, list[str]] = {}
        for row_id in rows:
            parts.setdefault(row_id[:PREFIX_DIGITS], []).append(row_id)
        for prefix in sorted(parts):
            for row_id in sorted(parts[prefix]):
                yield table, row_id, rows[row_id]


def erase_some(connection: sqlite3.Connection, keep: set[int]) -> bool:
    """Erase some rows of other generations, within the caller's transaction.

    Returns:
        Whether there may be more.
    """
    victim = _generation_after(connection, -1)
    while victim in keep:
        victim = _generation_after(connection, victim)
    if victim is None:
        return False
    end = connection.execute(
        "select table_name, row_id from rows where generation = ?"
        " order by table_name, row_id limit 1 offset ?",
        (victim, STEP_ROWS),
    ).fetchone()
    if end is None:
        connection.execute("delete from rows where generation = ?", (victim,))
    else:
        connection.execute(
            "delete from rows where generation = ? and (table_name, row_id) < (?, ?)",
            (victim, *end),
        )
    return True


def newest_generation(connection: sqlite3.Connection) -> int:
    """Return the largest number that any row has, or 0."""
    (newest,) = connection.execute("select max(generation) from rows").fetchone()
    return int(newest or 0)


def _generation_after(connection: sqlite3.Connection, after: int) -> int | None:
    (found,) = connection.execute(
        "select min(generation) from rows where generation > ?", (after,)
    ).fetchone()
    return None if found is None else int(found)
