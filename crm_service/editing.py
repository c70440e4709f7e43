"""Change a row that others may be changing: known versions, merges, replays.

A change says which version it is based on. If the row has moved on, the audit log tells which
fields others changed since: where they are different ones, the change is made on top of theirs
and says so; where they are the same, both values are shown and the caller decides.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic
from uuid import UUID

from pydantic_core import to_jsonable_python

from crm_service.access import Writer
from crm_service.constraints import explain_deleted_row
from crm_service.database import Row
from crm_service.errors import (
    ConflictError,
    ForbiddenError,
    ReplayedError,
    StaleVersionError,
)
from crm_service.tables import RecordT, Table
from crm_service.versions import Expected, FieldConflict

# Each round means that somebody else won a race against us in between: as many colleagues may edit
# other fields of the same row at once.
_MAX_ROUNDS = 16

AtVersion = Callable[[int | None], Awaitable[list[Row]]]
"""Writes a change to a row if it is at this version (None: at any); returns it, or nothing."""


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
    write: AtVersion | None = None,
) -> Changed[RecordT]:
    """Change one row if it is still at the expected version, or merge.

    A change that already took effect is answered with the row as it is (RFC 9110, 13.1.1).

    Args:
        table: Which table.
        writer: Who changes.
        row_id: Which row.
        changes: New values by column name.
        expected: The version the change is based on.
        merge: Whether the change may be made on top of others' changes to other fields.
        write: How it is written; None updates the table.

    Raises:
        StaleVersionError: The row has moved on; carries the current row and the fields in conflict.
        KeyReusedError: The idempotency key belongs to another request.
        NotFoundError: No such row, or none the caller may see.
        ConflictError: The row was deleted.
        ForbiddenError: The caller may see the row and not change it.
    """
    write = write or _update_of(table, writer, row_id, changes)
    version = expected.version
    merged: tuple[str, ...] = ()
    current: Row = {}
    for _ in range(_MAX_ROUNDS):
        try:
            rows = await write(version)
        except ReplayedError:
            return Changed(await table.get(writer, row_id), replayed=True)
        if rows:
            return Changed(table.parse(rows[0]), merged)
        current = await table.row(writer, row_id)
        if await writer.is_copy():
            # Read again: the first copy may have taken effect since.
            return Changed(await table.get(writer, row_id), replayed=True)
        if current.get("deleted_at") is not None:
            raise ConflictError(explain_deleted_row(table.name, str(row_id)))
        if version in {None, current["version"]}:
            raise ForbiddenError(f"Your role may see this {table.noun} and not change it.")
        theirs = await _changed_since(table, writer, current, expected)
        if theirs is None:
            continue
        if table.holds(current, changes):
            return _agreed(table, writer, current, changes, theirs)
        _refuse_conflicts(table, current, changes, expected, theirs, merge=merge)
        merged, version = tuple(sorted(theirs.fields)), current["version"]
    raise expected.stale(table.parse(current).model_dump(mode="json"))


def _update_of(
    table: Table[RecordT], writer: Writer, row_id: UUID, changes: Mapping[str, Any]
) -> AtVersion:
    body = to_jsonable_python(dict(changes))

    async def update(version: int | None) -> list[Row]:
        query = {table.key: f"eq.{row_id}", **table.columns}
        if table.soft_deleted:
            query["deleted_at"] = "is.null"
        if version is not None:
            query["version"] = f"eq.{version}"
        return await writer.update(table.name, query, body)

    return update


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
        CustomerDeletedError: The customer is deleted.
        ConflictError: The row is deleted.
        RuleRefusedError: An invoice of the old customer bills the job.
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


@dataclass(frozen=True, slots=True)
class _Theirs:
    """What others changed since the version a change is based on.

    Attributes:
        fields: Old and new value, who and when, by the names of those that differ.
        complete: Whether the log reaches back as far.
    """

    fields: Mapping[str, Mapping[str, Any]]
    complete: bool


async def _changed_since(
    table: Table[RecordT], writer: Writer, current: Row, expected: Expected
) -> _Theirs | None:
    """Return what others changed; None if the row moved on since ``current`` was read.

    Raises:
        StaleVersionError: Nobody can have seen the expected version.
    """
    if expected.version is None or not 1 <= expected.version <= current["version"]:
        raise expected.stale(table.parse(current).model_dump(mode="json"))
    arguments = {
        "table_name": table.name,
        "row_id": str(current[table.key]),
        "version": expected.version,
    }
    since = await writer.call("fields_changed_since", arguments)
    if since["version"] != current["version"]:
        return None
    return _Theirs(since["fields"], since["complete"])


def _agreed(
    table: Table[RecordT],
    writer: Writer,
    current: Row,
    changes: Mapping[str, Any],
    theirs: _Theirs,
) -> Changed[RecordT]:
    """Answer a change that is there already: without a key, the caller may have made it before."""
    caller = writer.caller
    actors = {theirs.fields[field].get("actor") for field in changes if field in theirs.fields}
    replayed = caller.idempotency_key is None and actors <= {str(caller.subject.user_id)}
    merged = () if replayed else tuple(sorted(theirs.fields))
    return Changed(table.parse(current), merged, replayed)


def _refuse_conflicts(
    table: Table[RecordT],
    current: Row,
    changes: Mapping[str, Any],
    expected: Expected,
    theirs: _Theirs,
    *,
    merge: bool,
) -> None:
    """Return if the change touches nothing of what others changed.

    Raises:
        StaleVersionError: It does, or the log does not reach back, or merging is not asked for.
    """
    fields = theirs.fields
    conflicts = [
        FieldConflict(
            field=field,
            yours=to_jsonable_python(changes[field]),
            theirs=current.get(field),
            base=fields[field].get("old"),
            changed_by=fields[field].get("actor"),
            changed_at=fields[field].get("at"),
        )
        for field in changes
        if field in fields and not table.same_value(field, current.get(field), changes[field])
    ]
    if conflicts or not merge or not theirs.complete:
        raise expected.stale(table.parse(current).model_dump(mode="json"), conflicts)
