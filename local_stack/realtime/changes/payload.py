"""The JSON of a change, for one role and one selection of columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from local_stack.realtime.changes.catalog import ColumnInfo, Table
from local_stack.realtime.changes.change import Change
from local_stack.realtime.changes.values import encode
from local_stack.realtime.database import Connections
from local_stack.realtime.wire import dump_json

TOO_LARGE = "Error 413: Payload Too Large"
_KEPT_BYTES = 64
_CAST = """
select array_agg(realtime."cast"(v.value, v.type_oid::regtype)::text order by v.place)
from unnest($1::text[], $2::oid[]) with ordinality as v (value, type_oid, place)
"""


@dataclass(frozen=True, slots=True)
class EncodedChange:
    """A change with every value as JSON text, ready to be cut to what a role may see."""

    table: Table
    change: Change
    new: dict[str, str]
    old: dict[str, str]
    is_too_large: bool

    def render(self, role: str, select: frozenset[str] | None) -> str:
        """Return the change object for a role; grants must have been loaded for it."""
        readable = self.table.readable.get(role, frozenset())
        columns = [
            column
            for column in self.table.columns
            if column.name in readable
            and (select is None or column.is_key or column.name in select)
        ]
        parts = [
            ("columns", _render_columns(columns)),
            ("commit_timestamp", dump_json(self.change.commit_timestamp)),
            ("errors", dump_json([TOO_LARGE] if self.is_too_large else None)),
        ]
        if self.change.action != "DELETE":
            parts.append(("record", self._render_row(self.new, columns)))
        if self.change.action != "INSERT":
            kept = columns
            if self.change.action == "DELETE" and self.table.row_security:
                kept = [column for column in columns if column.is_key]
            parts.append(("old_record", self._render_row(self.old, kept)))
        return _render_change(self.change, parts)

    def _render_row(self, image: dict[str, str], columns: Iterable[ColumnInfo]) -> str:
        cells = []
        for column in columns:
            value = image.get(column.name)
            if value is None or (self.is_too_large and not _is_kept(value)):
                continue
            cells.append(f"{dump_json(column.name)}:{value}")
        return f"{{{','.join(cells)}}}"


def _is_kept(value: str) -> bool:
    return value != "null" and len(value.encode()) <= _KEPT_BYTES


def _render_columns(columns: Iterable[ColumnInfo]) -> str:
    return dump_json([{"name": column.name, "type": column.type_name} for column in columns])


def render_error(change: Change, error: str) -> str:
    """Return the change object that tells an error instead of values."""
    parts = [("columns", "[]"), ("commit_timestamp", "null"), ("errors", dump_json([error]))]
    if change.action != "DELETE":
        parts.append(("record", "{}"))
    if change.action != "INSERT":
        parts.append(("old_record", "{}"))
    return _render_change(change, parts)


def _render_change(change: Change, parts: list[tuple[str, str]]) -> str:
    relation = change.relation
    named = [
        ("schema", dump_json(relation.schema)),
        ("table", dump_json(relation.name)),
        ("type", dump_json(change.action)),
    ]
    body = ",".join(f'"{name}":{text}' for name, text in named + parts)
    return f"{{{body}}}"


async def encode_changes(
    database: Connections, changes: Sequence[tuple[Table, Change]], *, max_bytes: int
) -> list[EncodedChange]:
    """Return the changes with their values as JSON; the database is asked for rare types once."""
    known: dict[tuple[int, str], str | None] = {}
    for table, change in changes:
        _encode_values(table, change, known)
    unknown = [key for key, value in known.items() if value is None]
    if unknown:
        async with database.connection() as connection:
            answers = await connection.fetchval(
                _CAST, [text for _, text in unknown], [type_oid for type_oid, _ in unknown]
            )
        known.update(zip(unknown, (answer or "null" for answer in answers), strict=True))
    return [
        EncodedChange(
            table,
            change,
            _encoded(table, change.new, known),
            _encoded(table, change.identity(table.key_names), known),
            change.size_bytes > max_bytes,
        )
        for table, change in changes
    ]


def _encode_values(table: Table, change: Change, known: dict[tuple[int, str], str | None]) -> None:
    """Add the values of a change as JSON, None for those that the database has to tell."""
    types = {column.name: column.type_oid for column in table.columns}
    for image in (change.new, change.identity(table.key_names)):
        for name, text in image.items():
            if text is not None and name in types and (types[name], text) not in known:
                known[types[name], text] = encode(types[name], text)


def _encoded(
    table: Table, image: dict[str, str | None], known: dict[tuple[int, str], str | None]
) -> dict[str, str]:
    types = {column.name: column.type_oid for column in table.columns}
    return {
        name: "null" if text is None else (known[types[name], text] or "null")
        for name, text in image.items()
        if name in types
    }
