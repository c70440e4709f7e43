"""Answers of the three feed RPCs: JSON values in, frozen values out, or ProtocolError."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, cast

from portal_sdk._core.digest import TableSummary
from portal_sdk._core.frozen import frozen
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


@frozen
class FeedChange:
    """One entry of the change feed; an upsert whose row is None was blanked."""

    n: int
    table: str
    row_id: str
    is_remove: bool
    row: Row | None
    committed_at: str | None = None
    request_id: str | None = None


@frozen
class Snapshot:
    """Everything the caller may see at feed position ``n`` of ``epoch``."""

    epoch: str
    n: int
    tables: Tables
    digest: Digest
    now: str | None = None
    columns: Columns = field(default_factory=dict[str, str])
    forms: Forms = field(default_factory=dict[str, str])
    known: Mapping[str, TableSummary] = field(default_factory=dict[str, TableSummary], repr=False)
    """What was counted of the tables while they were read; belongs to whoever takes the rows."""


@frozen
class PullPage:
    """Changes after a cursor; ``n`` is the head, not the last change of the page."""

    epoch: str
    n: int
    changes: tuple[FeedChange, ...] = ()
    must_resync: bool = False
    reason: str | None = None
    now: str | None = None


@frozen
class Head:
    """Where the feed stands, and what the tables should look like there."""

    epoch: str
    n: int
    digest: Digest
    now: str | None = None
    columns: Columns = field(default_factory=dict[str, str])
    forms: Forms = field(default_factory=dict[str, str])


def parse_snapshot_head(
    body: Mapping[str, Any], tables: Tables, known: Mapping[str, TableSummary]
) -> Snapshot:
    """Return the snapshot of these rows, given the rest of the answer.

    Raises:
        ProtocolError: The answer does not have the documented shape.
    """
    return Snapshot(
        epoch=_text(body, "epoch"),
        n=_position(body, "n"),
        tables=tables,
        digest=_digest(body.get("digest")),
        now=_instant(body, "now"),
        columns=_said(body.get("digest"), "columns"),
        forms=_said(body.get("digest"), "form"),
        known=known,
    )


def parse_pull(value: Any) -> PullPage:
    """Return the page.

    Raises:
        ProtocolError: The value does not have the documented shape.
    """
    body = to_object(value, "portal_pull")
    changes = as_list(body.get("changes") or [])
    if changes is None:
        raise malformed("changes")
    return PullPage(
        epoch=_text(body, "epoch"),
        n=_position(body, "n"),
        changes=tuple(map(_change, changes)),
        must_resync=bool(body.get("must_resync")),
        reason=_instant(body, "reason"),
        now=_instant(body, "now"),
    )


def parse_head(value: Any) -> Head:
    """Return the head.

    Raises:
        ProtocolError: The value does not have the documented shape.
    """
    body = to_object(value, "portal_head")
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
    item = to_object(value, "change")
    return _change({**item, "table": item.get("table_name")})


def _change(value: Any) -> FeedChange:
    item = to_object(value, "change")
    op = item.get("op")
    if op not in {"upsert", "remove"}:
        raise malformed("op")
    row = item.get("row")
    if row is not None:
        row_id_of(row)
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
    for table, entry in to_object(value, "digest").items():
        item = to_object(entry, "digest")
        digest[table] = (_position(item, "count"), _text(item, "hash"))
    return digest


def _said(value: Any, key: str) -> dict[str, str]:
    """Return what the database says of its tables; an older one says nothing."""
    entries = to_object(value, "digest").items()
    return {table: entry[key] for table, entry in entries if key in entry}


def row_id_of(row: Any) -> str:
    """Return the id of a decoded row.

    Raises:
        ProtocolError: It is no row.
    """
    return _text(to_object(row, "row"), "id")


def to_object(value: Any, what: str) -> dict[str, Any]:
    """Return the value if it is a JSON object.

    Raises:
        ProtocolError: It is none; says ``what`` was asked for.
    """
    if not isinstance(value, dict):
        raise malformed(what)
    return cast("dict[str, Any]", value)


def _text(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise malformed(key)
    return value


def _position(item: Mapping[str, Any], key: str) -> int:
    value = item.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise malformed(key)
    return value


def _instant(item: Mapping[str, Any], key: str) -> str | None:
    value = item.get(key)
    return value if isinstance(value, str) else None


def malformed(what: str) -> ProtocolError:
    """Return the error of an answer in which ``what`` is not as documented."""
    return ProtocolError(
        f"The database answered a change feed without a valid {what!r}; check that the project's"
        " migrations match this SDK version",
        field=what,
    )
