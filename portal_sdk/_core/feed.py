"""Answers of the three feed RPCs: JSON values in, frozen values out, or ProtocolError."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from portal_sdk._core.json_value import as_list
from portal_sdk.errors import ProtocolError
from portal_sdk.types import Row

Digest = Mapping[str, tuple[int, str]]
"""Per table: (row count, hash)."""
Columns = Mapping[str, str]
"""Per table: hash of its column names, as ``columns_hash`` makes it."""
Forms = Mapping[str, str]
"""Per table: a text that is another one when all its rows were rewritten."""
Tables = Mapping[str, Mapping[str, Row]]
"""Per table: row id to row."""


@dataclass(frozen=True, slots=True)
class FeedChange:
    """One entry of the change feed; an upsert whose row is None was blanked."""

    n: int
    table: str
    row_id: str
    is_remove: bool
    row: Row | None
    committed_at: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the caller may see at feed position ``n`` of ``epoch``."""

    epoch: str
    n: int
    tables: Tables
    digest: Digest
    now: str | None = None
    columns: Columns = field(default_factory=dict[str, str])
    forms: Forms = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class PullPage:
    """Changes after a cursor; ``n`` is the head, not the last change of the page."""

    epoch: str
    n: int
    changes: tuple[FeedChange, ...] = ()
    must_resync: bool = False
    reason: str | None = None
    now: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """Where the feed stands, and what the tables should look like there."""

    epoch: str
    n: int
    digest: Digest
    now: str | None = None
    columns: Columns = field(default_factory=dict[str, str])
    forms: Forms = field(default_factory=dict[str, str])


def parse_snapshot(value: Any) -> Snapshot:
    """Return the snapshot.

    Raises:
        ProtocolError: The value does not have the documented shape.
    """
    body = _object(value, "portal_snapshot")
    tables: dict[str, dict[str, Row]] = {}
    for name, rows in _object(body.get("tables"), "tables").items():
        found = as_list(rows)
        if found is None:
            raise _malformed("tables")
        tables[name] = {_row_id(row): row for row in found}
    return Snapshot(
        epoch=_text(body, "epoch"),
        n=_position(body, "n"),
        tables=tables,
        digest=_digest(body.get("digest")),
        now=_instant(body, "now"),
        columns=_said(body.get("digest"), "columns"),
        forms=_said(body.get("digest"), "form"),
    )


def parse_pull(value: Any) -> PullPage:
    """Return the page.

    Raises:
        ProtocolError: The value does not have the documented shape.
    """
    body = _object(value, "portal_pull")
    changes = as_list(body.get("changes") or [])
    if changes is None:
        raise _malformed("changes")
    return PullPage(
        epoch=_text(body, "epoch"),
        n=_position(body, "n"),
        changes=tuple(_change(item) for item in changes),
        must_resync=bool(body.get("must_resync")),
        reason=_instant(body, "reason"),
        now=_instant(body, "now"),
    )


def parse_head(value: Any) -> Head:
    """Return the head.

    Raises:
        ProtocolError: The value does not have the documented shape.
    """
    body = _object(value, "portal_head")
    return Head(
        epoch=_text(body, "epoch"),
        n=_position(body, "n"),
        digest=_digest(body.get("digest")),
        now=_instant(body, "now"),
        columns=_said(body.get("digest"), "columns"),
        forms=_said(body.get("digest"), "form"),
    )


def parse_entry(value: Any) -> FeedChange:
    """Return a row of ``sync_changes`` as the same entry that portal_pull gives.

    Raises:
        ProtocolError: The value does not have the documented shape.
    """
    item = _object(value, "change")
    return _change({**item, "table": item.get("table_name")})


def _change(value: Any) -> FeedChange:
    item = _object(value, "change")
    op = item.get("op")
    if op not in {"upsert", "remove"}:
        raise _malformed("op")
    row = item.get("row")
    if row is not None:
        _row_id(row)
    return FeedChange(
        n=_position(item, "n"),
        table=_text(item, "table"),
        row_id=_text(item, "row_id"),
        is_remove=op == "remove",
        row=row,
        committed_at=_instant(item, "committed_at"),
        request_id=_instant(item, "request_id"),
    )


def _digest(value: Any) -> Digest:
    digest: dict[str, tuple[int, str]] = {}
    for table, entry in _object(value, "digest").items():
        item = _object(entry, "digest")
        digest[table] = (_position(item, "count"), _text(item, "hash"))
    return digest


def _said(value: Any, key: str) -> dict[str, str]:
    """Return what the database says of its tables; an older one says nothing."""
    entries = _object(value, "digest").items()
    return {table: entry[key] for table, entry in entries if key in entry}


def _row_id(row: Any) -> str:
    return _text(_object(row, "row"), "id")


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _malformed(what)
    return cast("dict[str, Any]", value)


def _text(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise _malformed(key)
    return value


def _position(item: Mapping[str, Any], key: str) -> int:
    value = item.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _malformed(key)
    return value


def _instant(item: Mapping[str, Any], key: str) -> str | None:
    value = item.get(key)
    return value if isinstance(value, str) else None


def _malformed(what: str) -> ProtocolError:
    return ProtocolError(
        f"The database answered a change feed without a valid {what!r}; check that the project's"
        " migrations match this SDK version",
        field=what,
    )
