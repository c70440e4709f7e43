"""Reading a snapshot piece by piece: however large it is, no step takes long.

Pure. Whoever drives ``read_snapshot`` may do something else between two pieces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any, cast

from pydantic_core import from_json

from portal_sdk._core.digest import TableDigest, TableSummary, row_version
from portal_sdk._core.feed import (
    Snapshot,
    Tables,
    malformed,
    parse_snapshot_head,
    row_id_of,
    to_object,
)
from portal_sdk._core.json_value import as_list
from portal_sdk.types import Row

PIECE_BYTES = 128 * 1024
"""About 250 rows, 2 ms."""
ANY_BORDER = re.compile(rb"\}\s*,\s*(?=\{)")
NEAR_TRIES = 8
TRIES = 20
_CLOSED = b"]}}"


def read_snapshot(body: bytes | bytearray, shown: Tables) -> Generator[None, None, Snapshot]:
    """Read the answer of portal_snapshot; yield after each piece, return the snapshot.

    Args:
        body: The answer as it came.
        shown: The rows known so far; a row that is equal is not kept a second time.

    Raises:
        ValueError: It is not JSON.
        ProtocolError: The value does not have the documented shape.
    """
    builder = SnapshotBuilder(shown)
    for piece in split_snapshot(body):
        builder.add(piece)
        yield
    return builder.finish()


def split_snapshot(body: bytes | bytearray, piece_bytes: int = PIECE_BYTES) -> Iterator[Any]:
    """Decode JSON of the shape ``{…, "tables": {name: [{…}, …]}, …}`` in pieces of that shape.

    It is cut between two rows. What looks like such a place may lie within a text or a nested
    list; but a beginning that becomes valid JSON by closing one list and two objects can only end
    behind a whole element of a list, so a wrong place is always noticed. Where no place is found,
    the rest is one piece.

    Raises:
        ValueError: It is not JSON.
    """
    opened, begin, border = b"", 0, ANY_BORDER
    while (found := _find_piece(body, begin, opened, border, piece_bytes)) is not None:
        piece, table, begin = found
        opened = b'{"tables":{' + _encode(table) + b":["
        border = _border_of(piece["tables"][table])
        yield piece
    yield from_json(opened + body[begin:])


def _find_piece(
    body: bytes | bytearray, begin: int, opened: bytes, border: re.Pattern[bytes], piece_bytes: int
) -> tuple[dict[str, Any], str, int] | None:
    """Return the next piece, the table that it ends in, and where to go on; None for the rest."""
    look_at = begin + piece_bytes
    for attempt in range(TRIES):
        place = border.search(body, look_at)
        if place is None:
            return None
        cut = place.start() + 1
        with suppress(ValueError, AttributeError, TypeError, StopIteration):
            piece: dict[str, Any] = from_json(opened + body[begin:cut] + _CLOSED)
            name, tables = next(reversed(piece.items()))
            if name == "tables":
                return piece, next(reversed(cast("dict[str, Any]", tables))), place.end()
        # A nested list: its end may be near, or far.
        look_at = cut + (61 << attempt if attempt > NEAR_TRIES else 0)
    return None


def _border_of(rows: Any) -> re.Pattern[bytes]:
    """Return what is between two rows of a table, given some of them: they begin alike."""
    row: Any = (as_list(rows) or [None])[-1]
    if not isinstance(row, dict) or not row:
        return ANY_BORDER
    name = next(iter(cast("dict[str, Any]", row)))
    return re.compile(ANY_BORDER.pattern[:-1] + rb"\s*" + re.escape(_encode(name)) + b")")


def _encode(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()


class SnapshotBuilder:
    """Puts pieces together, and counts what the digest needs while it has each row at hand."""

    def __init__(self, shown: Tables) -> None:
        self._shown = shown
        self._head: dict[str, Any] = {}
        self._tables: dict[str, dict[str, Row]] = {}
        self._known: dict[str, TableSummary] = {}

    def add(self, piece: Any) -> None:
        """Take one more piece.

        Raises:
            ProtocolError: The value does not have the documented shape.
        """
        body = to_object(piece, "portal_snapshot")
        if "tables" in body:
            for name, rows in to_object(body["tables"], "tables").items():
                found = as_list(rows)
                if found is None:
                    raise malformed("tables")
                self._add_rows(name, found)
        self._head |= body

    def finish(self) -> Snapshot:
        """Return the snapshot.

        Raises:
            ProtocolError: A part of it is missing.
        """
        if "tables" not in self._head:
            raise malformed("tables")
        return parse_snapshot_head(self._head, self._tables, self._known)

    def _add_rows(self, name: str, found: list[Any]) -> None:
        rows = self._tables.setdefault(name, {})
        known = self._known.setdefault(name, TableSummary(TableDigest(), set()))
        shown = self._shown.get(name, {})
        digest, shapes = known.digest, known.shapes
        for row in found:
            row_id = row_id_of(row)
            if row_id in rows:
                digest.remove(row_id, row_version(rows[row_id]))
            old = shown.get(row_id)
            rows[row_id] = row if old is None or old != row else old
            digest.add(row_id, row_version(row))
            shapes.add(tuple(row))
