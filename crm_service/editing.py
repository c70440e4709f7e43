"""Change a row that others may be changing: known versions, merges, replays.

A change says which version it is based on. If the row has moved on, the audit log tells which
fields others changed since: where they are different ones, the change is made on top of theirs
and says so; where they are the same, both values are shown and the caller decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic
from uuid import UUID

from pydantic_core import to_jsonable_python

from crm_service.access import Writer
from crm_service.database import Row
from crm_service.errors import ForbiddenError, ReplayedError, StaleVersionError
from crm_service.tables import RecordT, Table
from crm_service.versions import Expected, FieldConflict

# Each round means that somebody else won a race against us in between.
_MAX_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Changed(Generic[RecordT]):
    """A changed row.

    Attributes:
        merged: Fields that others had changed meanwhile, and that were kept.
        replayed: An earlier copy of this request had made the change.
    """

    record: RecordT
    merged: tuple[str, ...] = ()
    replayed: bool = False


async def change_row(
    table: Table[RecordT],
    writer: Writer,
    row_id: UUID,
    changes: Mapping[str, Any],
    expected: Expected,
    *,
    merge: bool = True,
) -> Changed[RecordT]:
    """Change one row if it is still at the expected version, or merge.

    A repeated change that already took effect is answered with the row as it is
    (RFC 9110, 13.1.1).

    Args:
        table: Which table.
        writer: Who changes.
        row_id: Which row.
        changes: New values by column name.
        expected: The version the change is based on.
        merge: Whether the change may be made on top of others' changes to other fields.

    Raises:
        StaleVersionError: The row has moved on; carries the current row and the fields in conflict.
        KeyReusedError: The idempotency key belongs to another request.
        NotFoundError: No such row, or none the caller may see.
        ForbiddenError: The caller may see the row and not change it.
    """
    body = to_jsonable_python(dict(changes))
    version = expected.version
    merged: tuple[str, ...] = ()
    for rounds_left in reversed(range(_MAX_ROUNDS)):
        query = {table.key: f"eq.{row_id}", **table.columns}
        if version is not None:
            query["version"] = f"eq.{version}"
        try:
            rows = await writer.update(table.name, query, body)
        except ReplayedError:
            return Changed(await table.get(writer, row_id), replayed=True)
        if rows:
            return Changed(table.parse(rows[0]), merged)
        current = await table.row(writer, row_id)
        earlier = await _earlier_copy(table, writer, current, changes, version)
        if earlier is not None:
            return earlier
        merged = await _mergeable(table, writer, current, changes, expected, merge=merge)
        if not rounds_left:
            raise expected.stale(table.parse(current).model_dump(mode="json"))
        version = current["version"]
    raise AssertionError("the last round returns or raises")


async def delete_row(
    table: Table[RecordT], writer: Writer, row_id: UUID, expected: Expected
) -> Changed[RecordT]:
    """Take a row out of sight; what may be deleted is decided by the database.

    Raises:
        StaleVersionError: The row has moved on since ``expected``; carries the current row.
        NotFoundError: No such row, or none the caller may see.
    """
    arguments = {"table_name": table.name, "row_id": str(row_id)}
    if expected.version is not None:
        arguments["expected_version"] = str(expected.version)
    try:
        row = await writer.call_for_row("delete_row", arguments)
    except ReplayedError:
        return Changed(await table.get(writer, row_id), replayed=True)
    except StaleVersionError:
        current = await table.get(writer, row_id)
        raise expected.stale(current.model_dump(mode="json")) from None
    # The function answers with the table's own columns only.
    return Changed(await table.get(writer, row_id) if table.columns else table.parse(row))


async def move_row(
    table: Table[RecordT], writer: Writer, row_id: UUID, customer_id: UUID, expected: Expected
) -> Changed[RecordT]:
    """Move a row to another customer.

    Raises:
        StaleVersionError: The row has moved on since ``expected``; carries the current row.
        NotFoundError: No such row.
        UnknownReferenceError: No such customer.
    """
    arguments = {
        "table_name": table.name,
        "row_id": str(row_id),
        "customer_id": str(customer_id),
    }
    if expected.version is not None:
        arguments["expected_version"] = str(expected.version)
    try:
        await writer.call_to_write("move_to_customer", arguments)
    except ReplayedError:
        return Changed(await table.get(writer, row_id), replayed=True)
    except StaleVersionError:
        current = await table.get(writer, row_id)
        raise expected.stale(current.model_dump(mode="json")) from None
    return Changed(await table.get(writer, row_id))


async def _earlier_copy(
    table: Table[RecordT],
    writer: Writer,
    current: Row,
    changes: Mapping[str, Any],
    version: int | None,
) -> Changed[RecordT] | None:
    """Answer a copy of a request that took effect; refuse what can never take effect."""
    if await writer.is_copy():
        return Changed(table.parse(current), replayed=True)
    if version in {None, current["version"]}:
        raise ForbiddenError(f"Your role may see this {table.noun} and not change it.")
    if table.holds(current, changes):
        return Changed(table.parse(current), replayed=True)
    return None


async def _mergeable(
    table: Table[RecordT],
    writer: Writer,
    current: Row,
    changes: Mapping[str, Any],
    expected: Expected,
    *,
    merge: bool,
) -> tuple[str, ...]:
    """Return what others changed since, if the change touches none of it.

    Raises:
        StaleVersionError: It does, or the log does not reach back, or merging is not asked for.
    """
    shown = table.parse(current).model_dump(mode="json")
    if expected.version is None or expected.version > current["version"]:
        raise expected.stale(shown)
    arguments = {
        "table_name": table.name,
        "row_id": str(current[table.key]),
        "version": expected.version,
    }
    since = await writer.call("fields_changed_since", arguments)
    theirs: dict[str, Any] = since["fields"]
    conflicts = [
        FieldConflict(
            field=field,
            yours=to_jsonable_python(changes[field]),
            theirs=current.get(field),
            base=theirs[field].get("old"),
            changed_by=theirs[field].get("actor"),
            changed_at=theirs[field].get("at"),
        )
        for field in changes
        if field in theirs and not table.same_value(field, current.get(field), changes[field])
    ]
    if conflicts or not merge or not since["complete"]:
        raise expected.stale(shown, conflicts)
    return tuple(sorted(theirs))
