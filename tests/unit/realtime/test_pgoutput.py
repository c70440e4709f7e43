"""Replication messages; bytes are written here independently of the reader."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.realtime.changes.change import assemble, render_commit_time
from local_stack.realtime.changes.pgoutput import (
    UNCHANGED,
    Begin,
    Column,
    Delete,
    Insert,
    Relation,
    Truncate,
    Update,
    parse,
)
from local_stack.realtime.changes.reader import StreamReader
from local_stack.realtime.errors import PgOutputError

RELATION = Relation(
    7, "public", "t", "d", (Column("id", 23, -1, is_key=True), Column("v", 25, -1, is_key=False))
)
RELATION_BYTES = (
    b"R"
    + struct.pack(">I", 7)
    + b"public\0t\0d"
    + struct.pack(">H", 2)
    + b"\x01id\0"
    + struct.pack(">Ii", 23, -1)
    + b"\x00v\0"
    + struct.pack(">Ii", 25, -1)
)


def row(*values: object) -> bytes:
    parts = [struct.pack(">H", len(values))]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif isinstance(value, str):
            parts.append(b"t" + struct.pack(">i", len(value.encode())) + value.encode())
        else:
            parts.append(b"u")
    return b"".join(parts)


OID = struct.pack(">I", 7)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"B" + struct.pack(">QqI", 1, -2, 3), Begin(1, -2, 3)),
        (RELATION_BYTES, RELATION),
        (b"I" + OID + b"N" + row("1", None), Insert(7, ("1", None))),
        (b"U" + OID + b"N" + row("1", UNCHANGED), Update(7, None, False, ("1", UNCHANGED))),
        (
            b"U" + OID + b"K" + row("1", None) + b"N" + row("2", "ä"),
            Update(7, ("1", None), False, ("2", "ä")),
        ),
        (b"D" + OID + b"O" + row("1", "x"), Delete(7, ("1", "x"), True)),
        (b"T" + struct.pack(">IB", 2, 0) + OID + OID, Truncate((7, 7))),
    ],
)
def test_messages_are_read(data: bytes, message: object) -> None:
    assert parse(data) == message


def test_a_truncated_message_is_refused_wherever_it_ends() -> None:
    data = b"U" + OID + b"O" + row("1", "x") + b"N" + row("2", "y")
    for end in range(len(data)):
        with pytest.raises(PgOutputError):
            parse(data[:end])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error(data: bytes) -> None:
    with contextlib.suppress(PgOutputError):
        parse(data)


@given(
    st.lists(
        st.sampled_from(b"BCRIUDTOYM").flatmap(
            lambda kind: st.binary(max_size=60).map(lambda rest: bytes([kind]) + rest)
        )
    )
)
def test_a_reader_survives_any_stream(messages: list[bytes]) -> None:
    seen: list[object] = []
    reader = StreamReader(seen.append, seen.append, lambda _oid: True)
    for message in messages:
        reader.feed(message)
    reader.feed(RELATION_BYTES)
    reader.feed(b"I" + OID + b"N" + row("1", "x"))
    assert seen


def test_full_identity_fills_in_what_did_not_travel() -> None:
    change = assemble(Update(7, ("1", "old"), True, ("1", UNCHANGED)), RELATION, Begin(0, 0, 1))
    assert change.new == {"id": "1", "v": "old"}


def test_key_identity_leaves_it_missing() -> None:
    change = assemble(Update(7, None, False, ("1", UNCHANGED)), RELATION, Begin(0, 0, 1))
    assert change.new == {"id": "1"}
    assert change.identity(("id",)) == {"id": "1"}


def test_a_changed_key_is_told_from_the_key_tuple() -> None:
    change = assemble(Update(7, ("1", None), False, ("2", "x")), RELATION, Begin(0, 0, 1))
    assert change.identity(("id",)) == {"id": "1"}


def test_commit_time_has_milliseconds() -> None:
    assert render_commit_time(1_234_567) == "2000-01-01T00:00:01.234Z"
