"""From replication messages to changes and broadcast rows."""

from __future__ import annotations

import struct
from typing import Any

from local_stack.realtime.changes.reader import StreamReader

MESSAGES, LISTENED, UNHEARD = 1, 2, 3


def relation(oid: int, schema: str, name: str) -> bytes:
    column = struct.pack(">B", 1) + b"id\0" + struct.pack(">Ii", 25, -1)
    head = b"R" + struct.pack(">I", oid) + f"{schema}\0{name}\0d".encode()
    return head + struct.pack(">H", 1) + column


def insert(oid: int, value: bytes) -> bytes:
    row = struct.pack(">H", 1) + b"t" + struct.pack(">i", len(value)) + value
    return b"I" + struct.pack(">I", oid) + b"N" + row


def reader() -> tuple[StreamReader, list[Any], list[Any]]:
    rows: list[Any] = []
    changes: list[Any] = []
    made = StreamReader(rows.append, changes.append, lambda oid: oid == LISTENED)
    made.feed(b"B" + struct.pack(">QqI", 1, 1, 1))
    made.feed(relation(MESSAGES, "realtime", "messages"))
    made.feed(relation(LISTENED, "public", "messages"))
    made.feed(relation(UNHEARD, "public", "quiet"))
    return made, rows, changes


def test_messages_become_rows_and_tables_with_listeners_become_changes() -> None:
    """Tables are told apart by schema and name; what nobody listens to is not even read."""
    made, rows, changes = reader()
    for oid in (MESSAGES, LISTENED, UNHEARD):
        made.feed(insert(oid, b"a"))
    made.feed(insert(UNHEARD, b"\xff"))
    assert rows == [{"id": "a"}]
    assert [(each.relation.schema, each.new) for each in changes] == [("public", {"id": "a"})]


def test_a_new_description_counts(caplog: Any) -> None:
    """A table that takes the oid's place under another name is no broadcast any more."""
    made, rows, changes = reader()
    made.feed(relation(MESSAGES, "public", "other"))
    made.feed(insert(MESSAGES, b"a"))
    made.feed(insert(9, b"a"))
    assert (rows, changes) == ([], [])
    assert "not described" in caplog.text
