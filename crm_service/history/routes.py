"""HTTP of the audit log. What of it somebody may read is decided by the database."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crm_service.dependencies import IfMatch, ReaderDep, Since, Until, WriterDep, say_replayed
from crm_service.errors import ConflictError, InvalidRequestError, NotFoundError, ReplayedError
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
from crm_service.versions import expected_version, render_etag

router = APIRouter(tags=["history"])
_Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
_Before = Annotated[int | None, Query(ge=1, le=2**63 - 1)]
_Version = Annotated[int, Query(ge=0, le=2**63 - 1)]
_KEYS = {"leads": "customer_id", "staff": "user_id", "job_assignments": "job_id"}
_MAX_STEPS = 1000


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
        "limit": limit,
    }
    history = History.model_validate(await reader.call("row_history", arguments))
    if not history.entries and history.version is None:
        await _refuse_stranger(reader)
        raise NotFoundError("There is no such row, or none whose history you may see.")
    return history


@router.get("/history/{table}/{row_id}/diff", responses=describe(404))
async def get_difference(
    reader: ReaderDep,
    table: HistoryTable,
    row_id: UUID,
    from_version: _Version,
    to_version: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Difference:
    """Tell what differs between two versions of a row; ``from_version`` 0 is before it was made."""
    query: list[Filter] = [
        ("select", "op,old,new,row_version"),
        ("table_name", f"eq.{table}"),
        ("row_id", f"eq.{row_id}"),
        ("row_version", f"gt.{from_version}"),
        ("order", "row_version.asc,id.asc"),
        ("limit", str(_MAX_STEPS)),
    ]
    if to_version is not None:
        if to_version <= from_version:
            raise InvalidRequestError(
                "to_version must be later than from_version.",
                [{"field": "query.to_version", "message": "must be later than from_version"}],
            )
        query.append(("row_version", f"lte.{to_version}"))
    entries = await reader.select("activity_log", query)
    if not entries:
        raise NotFoundError("There is no change of this row between these versions.")
    return Difference(
        table=table,
        row_id=row_id,
        from_version=from_version,
        to_version=entries[-1]["row_version"],
        fields={
            field: FieldDifference(**values) for field, values in fold_changes(entries).items()
        },
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
    arguments = {"table_name": table, "row_id": str(row_id), "change_id": body.change_id}
    if expected.version is not None:
        arguments["expected_version"] = expected.version
    key = {_KEYS.get(table, "id"): f"eq.{row_id}"}
    try:
        answered = await writer.call_for_row("restore_row", arguments)
        if not answered["restored"] and await writer.is_copy():
            # The first copy has left nothing to restore, so nothing claimed the key once more.
            raise ReplayedError("This request has taken effect.")
    except ReplayedError:
        answered = await writer.earlier_answer()
        (answered["row"],) = await writer.select(table, key)
        say_replayed(response)
    except ConflictError:
        rows = await writer.select(table, key)
        if not rows or expected.version in {None, rows[0]["version"]}:
            raise
        raise expected.stale(rows[0]) from None
    restored = Restored.model_validate(answered)
    response.headers["ETag"] = render_etag(restored.row["version"])
    return restored


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
