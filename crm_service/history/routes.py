"""HTTP of the audit log. What of it somebody may read is decided by the database."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crm_service.access import Writer
from crm_service.database import Row
from crm_service.dependencies import IfMatch, ReaderDep, Since, Until, WriterDep, say_replayed
from crm_service.errors import (
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    ReplayedError,
)
from crm_service.filters import Filter, between, equals
from crm_service.history.differences import fold_changes
from crm_service.history.schemas import (
    Activity,
    ActivityPage,
    ActorKind,
    Difference,
    FieldDifference,
    History,
    HistoryTable,
    LogTable,
    Operation,
    Restore,
    Restored,
)
from crm_service.pagination import DEFAULT_LIMIT, MAX_LIMIT
from crm_service.problems import describe
from crm_service.versions import Expected, expected_version, render_etag

router = APIRouter(tags=["history"])
_Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
_Before = Annotated[int | None, Query(ge=1, le=2**63 - 1)]
_Version = Annotated[int, Query(ge=0, le=2**63 - 1)]
_KEYS = {"leads": "customer_id", "staff": "user_id", "job_assignments": "job_id"}
_MAX_STEPS = 1000
_MAX_ROUNDS = 4


@router.get("/history/{table}/{row_id}", responses=describe(404))
async def get_history(
    reader: ReaderDep,
    table: HistoryTable,
    row_id: UUID,
    before_id: _Before = None,
    limit: _Limit = DEFAULT_LIMIT,
) -> History:
    """Tell who changed a row, when and what, newest first."""
    arguments = {
        "table_name": table,
        "row_id": str(row_id),
        "before_id": before_id,
        "limit": limit + 1,
    }
    history = History.model_validate(await reader.call("row_history", arguments))
    if not history.entries:
        await _refuse_stranger(reader)
        if before_id is None:
            raise NotFoundError("There is no change of this row, or none that you may see.")
    entries = history.entries[:limit]
    more = len(history.entries) > limit
    next_before_id = entries[-1].id if more else None
    return history.model_copy(update={"entries": entries, "next_before_id": next_before_id})


@router.get("/history/{table}/{row_id}/diff", responses=describe(404))
async def get_difference(
    reader: ReaderDep,
    table: HistoryTable,
    row_id: UUID,
    from_version: _Version,
    to_version: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Difference:
    """Tell what differs between two versions of a row; ``from_version`` 0 is before it was made."""
    if to_version is not None and to_version <= from_version:
        raise InvalidRequestError(
            "to_version must be later than from_version.",
            [{"field": "query.to_version", "message": "must be later than from_version"}],
        )
    query: list[Filter] = [
        ("select", "id,old,new,row_version"),
        ("table_name", f"eq.{table}"),
        ("row_id", f"eq.{row_id}"),
        # The end of a row is no version of it.
        ("op", "in.(insert,update)"),
        ("row_version", f"gt.{from_version}"),
        ("order", "id.asc"),
        ("limit", str(_MAX_STEPS)),
    ]
    if to_version is not None:
        query.append(("row_version", f"lte.{to_version}"))
    entries = await reader.select("activity_log", query)
    if not entries:
        raise NotFoundError(
            "There is no change of this row between these versions, or none that you may see."
        )
    fields = fold_changes(entries)
    last = entries[-1]
    while len(entries) == _MAX_STEPS:
        entries = await reader.select("activity_log", [*query, ("id", f"gt.{last['id']}")])
        fields = fold_changes(entries, fields)
        last = [last, *entries][-1]
    return Difference(
        table=table,
        row_id=row_id,
        from_version=from_version,
        to_version=last["row_version"],
        fields={field: FieldDifference(**values) for field, values in fields.items()},
    )


@router.post("/history/{table}/{row_id}/restore", responses=describe(404, 409, 412))
async def restore_row(
    writer: WriterDep,
    response: Response,
    table: HistoryTable,
    row_id: UUID,
    body: Restore,
    if_match: IfMatch = None,
) -> Restored:
    """Put a row back to what it was after a change: a new change, under the usual rules."""
    expected = expected_version(if_match, body.version, required=False)
    try:
        answered = await _restore(writer, table, row_id, body.change_id, expected)
        if not answered["restored"] and await writer.is_copy():
            # The first copy has left nothing to restore, so nothing claimed the key once more.
            raise ReplayedError("This request has taken effect.")
    except ReplayedError:
        answered = await writer.earlier_answer()
        (answered["row"],) = await writer.select(table, _key(table, row_id))
        say_replayed(response)
    restored = Restored.model_validate(answered)
    response.headers["ETag"] = render_etag(restored.row["version"])
    return restored


async def _restore(
    writer: Writer, table: HistoryTable, row_id: UUID, change_id: int, expected: Expected
) -> Row:
    """Restore a row; what the database calls a conflict is a stale version, a race or no right."""
    arguments = {"table_name": table, "row_id": str(row_id), "change_id": change_id}
    asked = expected.version
    for rounds_left in reversed(range(_MAX_ROUNDS)):
        if asked is not None:
            arguments["expected_version"] = asked
        try:
            return await writer.call_for_row("restore_row", arguments)
        except ReplayedError:
            raise
        except ConflictError:
            rows = await writer.select(table, _key(table, row_id))
            if not rows or not rounds_left:
                raise
            version = rows[0]["version"]
            if expected.version not in {None, version}:
                raise expected.stale(rows[0]) from None
            if asked == version:
                raise ForbiddenError("Your role may see this row and not change it.") from None
            asked = version
    raise AssertionError("the last round returns or raises")


def _key(table: HistoryTable, row_id: UUID) -> dict[str, str]:
    return {_KEYS.get(table, "id"): f"eq.{row_id}"}


@router.get("/activity")
async def list_activity(
    reader: ReaderDep,
    table: Annotated[LogTable | None, Query()] = None,
    customer_id: UUID | None = None,
    actor: UUID | None = None,
    actor_kind: Annotated[ActorKind | None, Query()] = None,
    op: Annotated[Operation | None, Query()] = None,
    request_id: Annotated[str | None, Query(max_length=200, pattern=r"^[\x21-\x7e]+$")] = None,
    since: Since = None,
    until: Until = None,
    before_id: _Before = None,
    limit: _Limit = DEFAULT_LIMIT,
) -> ActivityPage:
    """List what happened, newest first."""
    filters = [
        *equals("table_name", table),
        *equals("customer_id", customer_id),
        *equals("actor", actor),
        *equals("actor_kind", actor_kind),
        *equals("op", op),
        *equals("request_id", request_id),
        *between("at", since, until),
    ]
    return await _activity(reader, filters, before_id, limit)


@router.get("/customers/{customer_id}/timeline", responses=describe(404))
async def get_timeline(
    reader: ReaderDep,
    customer_id: UUID,
    table: Annotated[LogTable | None, Query()] = None,
    actor: UUID | None = None,
    actor_kind: Annotated[ActorKind | None, Query()] = None,
    op: Annotated[Operation | None, Query()] = None,
    since: Since = None,
    until: Until = None,
    before_id: _Before = None,
    limit: _Limit = DEFAULT_LIMIT,
) -> ActivityPage:
    """List everything that happened around a customer, newest first."""
    filters = [
        *equals("customer_id", customer_id),
        *equals("table_name", table),
        *equals("actor", actor),
        *equals("actor_kind", actor_kind),
        *equals("op", op),
        *between("at", since, until),
    ]
    page = await _activity(reader, filters, before_id, limit)
    if not page.items and before_id is None:
        query = {"select": "id", "id": f"eq.{customer_id}"}
        if not await reader.select("customers", query):
            raise NotFoundError("There is no customer with this id.")
    return page


async def _activity(
    reader: ReaderDep, filters: list[Filter], before_id: int | None, limit: int
) -> ActivityPage:
    query = [*filters, *between("id", None, before_id)]
    query += [("order", "id.desc"), ("limit", str(limit + 1))]
    rows = await reader.select("activity_log", query)
    items = [Activity.model_validate(row) for row in rows[:limit]]
    more = len(rows) > limit
    return ActivityPage(items=items, next_before_id=items[-1].id if more else None)


async def _refuse_stranger(reader: ReaderDep) -> None:
    """Give somebody who was removed the true reason instead of an empty history."""
    await reader.identify()
