"""Messages of PostgreSQL's ``pgoutput`` plugin, protocol version 1, text values. Pure.

Whatever the bytes, ``parse`` returns a message or raises ``PgOutputError``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from local_stack.realtime.errors import PgOutputError


class Unchanged(Enum):
    """Marks a large value that the update did not touch and the stream does not carry."""

    UNCHANGED = "u"


UNCHANGED = Unchanged.UNCHANGED
Value: TypeAlias = str | Unchanged | None
Values: TypeAlias = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction starts. ``committed_us``: microseconds since 2000-01-01 UTC."""

    final_lsn: int
    committed_us: int
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The transaction ends."""

    commit_lsn: int
    end_lsn: int
    committed_us: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation; ``is_key``: part of the replica identity."""

    name: str
    type_oid: int
    modifier: int
    is_key: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """Shape of a table; sent before its first change and after it changes."""

    oid: int
    schema: str
    name: str
    identity: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row."""

    oid: int
    new: Values


@dataclass(frozen=True, slots=True)
class Update:
    """A changed row; ``old`` is None when neither key nor full identity was sent."""

    oid: int
    old: Values | None
    old_is_full: bool
    new: Values


@dataclass(frozen=True, slots=True)
class Delete:
    """A removed row: its key or the full row."""

    oid: int
    old: Values
    old_is_full: bool


@dataclass(frozen=True, slots=True)
class Truncate:
    """Emptied tables."""

    oids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ignored:
    """A well-known message that carries nothing we need."""

    kind: str


Message: TypeAlias = Begin | Commit | Relation | Insert | Update | Delete | Truncate | Ignored

_IGNORED = frozenset("OYM")
_CHANGES = frozenset((b"I", b"U", b"D"))


class _Reader:
    """A cursor over one message; every read is checked against the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if count < 0 or end > len(self._data):
            raise PgOutputError(f"a message ends early, at byte {len(self._data)}")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def unpack(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def letter(self) -> str:
        return chr(self.take(1)[0])

    def text(self) -> str:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise PgOutputError("a name is not terminated")
        piece = self.take(end - self._at)
        self._at += 1
        return _decode(piece)

    def tuple(self) -> Values:
        # In one loop without a call per value: every change and every broadcast passes here.
        (count,) = self.unpack(">H")
        data, at, size = self._data, self._at, len(self._data)
        values: list[Value] = []
        for _ in range(count):
            kind, start = data[at : at + 1], at + 5
            if kind == b"t":
                end = start + int.from_bytes(data[at + 1 : start], signed=True)
                if not start <= end <= size:
                    raise PgOutputError(f"a message ends early, at byte {size}")
                values.append(_decode(data[start:end]))
                at = end
            elif kind in (b"n", b"u"):
                values.append(None if kind == b"n" else UNCHANGED)
                at += 1
            elif kind:
                raise PgOutputError(f"unknown kind of value {kind.decode('latin-1')!r}")
            else:
                raise PgOutputError(f"a message ends early, at byte {size}")
        self._at = at
        return tuple(values)


def _decode(piece: bytes) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError as error:
        raise PgOutputError("a value is not UTF-8") from error


def changed_table(data: bytes) -> int | None:
    """Return the oid of the table that a message changes a row of, without reading the row.

    None for any other message, and for one that is too short.
    """
    return int.from_bytes(data[1:5]) if data[:1] in _CHANGES and len(data) >= 5 else None


def parse(data: bytes) -> Message:
    """Return the message in ``data``; trailing bytes are ignored.

    Raises:
        PgOutputError: unknown kind, lengths beyond the end, text that is not UTF-8.
    """
    reader = _Reader(data)
    kind = reader.letter()
    parser = _PARSERS.get(kind)
    if parser is not None:
        return parser(reader)
    if kind in _IGNORED:
        return Ignored(kind)
    raise PgOutputError(f"unknown message {kind!r}")


def _parse_begin(reader: _Reader) -> Message:
    final_lsn, committed_us, xid = reader.unpack(">QqI")
    return Begin(final_lsn, committed_us, xid)


def _parse_commit(reader: _Reader) -> Message:
    _flags, commit_lsn, end_lsn, committed_us = reader.unpack(">BQQq")
    return Commit(commit_lsn, end_lsn, committed_us)


def _parse_relation(reader: _Reader) -> Message:
    (oid,) = reader.unpack(">I")
    schema, name = reader.text(), reader.text()
    identity = reader.letter()
    (count,) = reader.unpack(">H")
    columns = []
    for _ in range(count):
        (flags,) = reader.unpack(">B")
        column_name = reader.text()
        type_oid, modifier = reader.unpack(">Ii")
        columns.append(Column(column_name, type_oid, modifier, bool(flags & 1)))
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(columns))


def _parse_insert(reader: _Reader) -> Message:
    (oid,) = reader.unpack(">I")
    _expect(reader.letter(), "N")
    return Insert(oid, reader.tuple())


def _parse_update(reader: _Reader) -> Message:
    (oid,) = reader.unpack(">I")
    kind = reader.letter()
    old: Values | None = None
    is_full = kind == "O"
    if kind in "KO":
        old = reader.tuple()
        kind = reader.letter()
    _expect(kind, "N")
    return Update(oid, old, is_full, reader.tuple())


def _parse_delete(reader: _Reader) -> Message:
    (oid,) = reader.unpack(">I")
    kind = reader.letter()
    _expect(kind, "KO")
    return Delete(oid, reader.tuple(), kind == "O")


def _parse_truncate(reader: _Reader) -> Message:
    count, _options = reader.unpack(">IB")
    return Truncate(tuple(reader.unpack(">I")[0] for _ in range(count)))


def _expect(kind: str, allowed: str) -> None:
    if kind not in allowed:
        raise PgOutputError(f"expected a tuple {allowed!r}, got {kind!r}")


_PARSERS = {
    "B": _parse_begin,
    "C": _parse_commit,
    "R": _parse_relation,
    "I": _parse_insert,
    "U": _parse_update,
    "D": _parse_delete,
    "T": _parse_truncate,
}
