"""Rows of a store file that are parsed when they are read for the first time."""

from __future__ import annotations

import threading
from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView

from pydantic_core import from_json

from portal_sdk.types import Row


class LazyRows(MutableMapping[str, Row]):
    """Rows of one table by id; opening a large store costs the reading, not the parsing.

    Whoever reads may be in another thread than the one owner that writes: a row that is parsed
    late must not come back after the owner took it away, hence the lock.

    Args:
        bodies: By row id, the row as JSON. Taken over, not copied.
    """

    __slots__ = ("_bodies", "_lock", "_rows")

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self._bodies = bodies
        self._rows: dict[str, Row] = {}
        self._lock = threading.Lock()

    def __getitem__(self, row_id: str) -> Row:
        row = self._rows.get(row_id)
        return self._parse(row_id) if row is None else row

    def __copy__(self) -> LazyRows:
        """Return these rows as they are now; what was not parsed is parsed in each copy."""
        with self._lock:
            other = LazyRows(dict(self._bodies))
            other._rows = dict(self._rows)
            return other

    def __setitem__(self, row_id: str, row: Row) -> None:
        with self._lock:
            self._rows[row_id] = row
            self._bodies.pop(row_id, None)

    def __delitem__(self, row_id: str) -> None:
        with self._lock:
            if self._bodies.pop(row_id, None) is None:
                del self._rows[row_id]

    def __contains__(self, row_id: object) -> bool:
        return row_id in self._rows or row_id in self._bodies

    def __len__(self) -> int:
        return len(self._rows) + len(self._bodies)

    def __iter__(self) -> Iterator[str]:
        return iter([*self._rows, *self._bodies])

    def items(self) -> ItemsView[str, Row]:
        """Return every row by id."""
        return self._parse_all().items()

    def values(self) -> ValuesView[Row]:
        """Return every row."""
        return self._parse_all().values()

    def _parse(self, row_id: str) -> Row:
        with self._lock:
            body = self._bodies.get(row_id)
            if body is None:
                return self._rows[row_id]  # KeyError: there is none; or another thread was first
            row: Row = from_json(body)  # twice as fast as json.loads
            self._rows[row_id] = row
            del self._bodies[row_id]
            return row

    def _parse_all(self) -> dict[str, Row]:
        if self._bodies:
            with self._lock:
                for row_id, body in self._bodies.items():
                    self._rows[row_id] = from_json(body)
                self._bodies.clear()
        return self._rows
