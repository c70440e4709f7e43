"""Write many rows in one call to the database and report on each."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid4

from crm_service.access import Writer
from crm_service.bulk.kinds import Kind, read_row, refused_row
from crm_service.bulk.schemas import RowResult
from crm_service.errors import BulkRefusedError, ReplayedError
from crm_service.tables import derived_id
from crm_service.upstream_errors import ErrorBody, error_from_sqlstate


class Written(NamedTuple):
    """What became of rows, in their order.

    Attributes:
        results: One for each.
        replayed: A copy of the request had written them; the results are those of then.
    """

    results: list[RowResult]
    replayed: bool


async def write_items(writer: Writer, kind: Kind, items: Sequence[Any], *, atomic: bool) -> Written:
    """Create rows as the single call would, and report on each, in their order.

    Args:
        writer: Who writes.
        kind: What the items are.
        items: JSON values as received.
        atomic: All or none.

    Raises:
        BulkRefusedError: ``atomic``, and a row was refused; nothing was written.
    """
    caller = writer.caller
    read = [
        read_row(kind, index, item, caller.subject.user_id, _new_id(writer, kind, index))
        for index, item in enumerate(items)
    ]
    read = _refuse_repeats(kind, read)
    results: dict[int, RowResult] = {row.index: row for row in read if isinstance(row, RowResult)}
    replayed = False
    good = [(index, row) for index, row in enumerate(read) if not isinstance(row, RowResult)]
    if atomic and results:
        for index, row in good:
            results[index] = RowResult(index=index, status="undone", id=row[kind.key])
    elif good:
        rows = [row for _, row in good]
        found: list[RowResult] = []
        try:
            found = await write_rows(writer, kind, rows, atomic=atomic)
            if _met_no_key(kind, found) and await writer.is_copy():
                raise ReplayedError("This request has taken effect.")
        except ReplayedError:
            replayed = True
        if replayed:
            found = _in_order(rows, kind, await writer.earlier_answer())
        for result in found:
            index = good[result.index][0]
            results[index] = result.model_copy(update={"index": index})
    ordered = [results[index] for index in range(len(items))]
    if atomic and any(result.status == "failed" for result in ordered):
        raise BulkRefusedError(
            "A row was refused, so none was written. Correct the rows that 'results' calls failed.",
            extra={"results": [result.model_dump(mode="json") for result in ordered]},
        )
    return Written(ordered, replayed)


def _met_no_key(kind: Kind, results: Sequence[RowResult]) -> bool:
    """Tell whether nothing claimed the request's key, so that it may have been claimed before.

    An invoice that is there already is left alone; other rows that are have met the key.
    """
    statuses = {result.status for result in results}
    return statuses <= ({"failed", "unchanged"} if kind.table == "invoices" else {"failed"})


def _refuse_repeats(
    kind: Kind, read: Sequence[dict[str, Any] | RowResult]
) -> list[dict[str, Any] | RowResult]:
    """Refuse rows whose key an earlier one of the request has: only one of them could be kept."""
    first: dict[str, int] = {}
    kept: list[dict[str, Any] | RowResult] = []
    for index, row in enumerate(read):
        earlier = index if isinstance(row, RowResult) else first.setdefault(row[kind.key], index)
        if earlier == index:
            kept.append(row)
        else:
            problem = {"field": f"item.{kind.key}", "message": f"is the one of item {earlier}, too"}
            kept.append(refused_row(index, [problem]))
    return kept


async def write_rows(
    writer: Writer,
    kind: Kind,
    rows: Sequence[dict[str, Any]],
    *,
    atomic: bool = False,
    mode: Literal["insert", "save"] = "insert",
) -> list[RowResult]:
    """Write validated rows; ``save`` also updates those that differ.

    Raises:
        ReplayedError: A copy of this request has written them.
    """
    # Whoever writes many rows at once takes their locks in one order, so that nobody waits for
    # somebody who waits for them. Rows of one customer stay in the order given, since it counts.
    sent = sorted(rows, key=lambda row: _lock_order(kind, row, mode))
    arguments = {"table_name": kind.table, "rows": sent, "atomic": atomic, "mode": mode}
    return _in_order(rows, kind, await writer.call_to_write("bulk_write", arguments))


async def try_rows(
    writer: Writer, kind: Kind, rows: Sequence[dict[str, Any]]
) -> dict[str, RowResult]:
    """Let the database judge rows as if they were saved, and undo it; write nothing.

    Returns:
        Why those are refused that are, by their key.
    """
    if not rows:
        return {}
    # All or nothing, with a row that no table can take: its column does not exist.
    impossible = {kind.key: str(uuid4()), "written_by_a_trial": True}
    arguments = {"table_name": kind.table, "rows": [impossible, *rows], "atomic": True}
    answer = await writer.call_to_write("bulk_write", {**arguments, "mode": "save"})
    refused = [_result(found) for found in answer if found["status"] == "failed"]
    return {str(row.id): row for row in refused if str(row.id) != impossible[kind.key]}


def _lock_order(kind: Kind, row: dict[str, Any], mode: str) -> tuple[str, str]:
    return str(row.get("customer_id", "")), str(row[kind.key]) if mode == "save" else ""


def _in_order(
    rows: Sequence[dict[str, Any]], kind: Kind, answer: Sequence[dict[str, Any]]
) -> list[RowResult]:
    """Return what the database says of rows, in the order in which they were given."""
    of_row = {str(found["id"]): found for found in answer}
    return [_result({**of_row[str(row[kind.key])], "index": i}) for i, row in enumerate(rows)]


def _result(row: dict[str, Any]) -> RowResult:
    result = RowResult(
        index=row["index"], status=row["status"], id=row["id"], version=row["version"]
    )
    if row["status"] == "unchanged":
        return result.model_copy(update={"detail": "A row with this id was there already."})
    if row["status"] != "failed":
        return result
    body = ErrorBody(row["code"], row["message"], "", row.get("hint") or "")
    error = error_from_sqlstate(body)
    return result.model_copy(update={"code": error.code, "detail": error.detail})


def _new_id(writer: Writer, kind: Kind, index: int) -> UUID:
    key = writer.caller.idempotency_key
    if key is None:
        return uuid4()
    return derived_id(kind.table, writer.caller.subject.user_id, f"{key}\n{index}")
