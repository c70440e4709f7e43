"""HTTP of CSV: import with progress, and export."""

import csv
import io
import tempfile
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from crm_service.access import Reader, Writer
from crm_service.database import Caller
from crm_service.dependencies import ReaderDep, ServicesDep
from crm_service.errors import InvalidRequestError, ServiceError
from crm_service.imports.rows import ImportKind, Plan, make_plan, read_header
from crm_service.imports.running import ImportReport, run_import
from crm_service.problems import describe

router = APIRouter(tags=["csv"])
_IN_MEMORY_BYTES = 1_048_576
_EXPORT_PAGE = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

ExportKind = Literal["customers", "leads", "jobs", "invoices", "messages", "calls"]
_EXPORTED: dict[ExportKind, tuple[str, ...]] = {
    "customers": ("id", "name", "email", "phone", "address", "branch", "preferences"),
    "leads": (
        "customer_id",
        "status",
        "score",
        "conversion_probability",
        "source",
        "estimated_value_cents",
        "currency",
        "assigned_to",
        "next_follow_up_at",
    ),
    "jobs": (
        "id",
        "customer_id",
        "title",
        "description",
        "address",
        "status",
        "scheduled_start",
        "scheduled_end",
        "completed_at",
    ),
    "invoices": (
        "id",
        "customer_id",
        "series",
        "number",
        "status",
        "currency",
        "total_cents",
        "due_on",
        "sent_at",
        "paid_at",
    ),
    "messages": ("id", "customer_id", "sender", "sender_name", "body", "read_at"),
    "calls": (
        "id",
        "customer_id",
        "staff_id",
        "direction",
        "started_at",
        "ended_at",
        "outcome",
        "notes",
        "next_action",
    ),
}
_CSV_BODY = {
    "requestBody": {
        "required": True,
        "content": {"text/csv": {"schema": {"type": "string"}, "example": "name,email\nAda,\n"}},
    }
}


async def get_importer(
    request: Request,
    services: ServicesDep,
    idempotency_key: Annotated[str | None, Header(pattern=r"^[\x21-\x7e]{1,200}$")] = None,
) -> tuple[Writer, str | None]:
    """Return write access that does not read the body, and the request's key.

    Batches are saved by ids that are the same each time: the key is not theirs to claim.
    """
    caller = Caller(request.state.subject, request.state.request_id)
    return await Writer.admit(services.database, services.staff, caller), idempotency_key


@router.post("/imports/{kind}", openapi_extra=_CSV_BODY, responses=describe(408, 413))
async def import_csv(
    request: Request,
    importer: Annotated[tuple[Writer, str | None], Depends(get_importer)],
    kind: ImportKind,
    *,
    key_column: Annotated[
        str | None, Query(max_length=200, description="Header that names a line for good.")
    ] = None,
    column_map: Annotated[
        list[str] | None,
        Query(alias="map", description="`Header=column`, where the names differ."),
    ] = None,
    source: Annotated[str, Query(max_length=200, description="Origin of the keys.")] = "csv",
    dry_run: Annotated[bool, Query(description="Check without writing.")] = False,
    accept: Annotated[str, Header()] = "application/json",
) -> ImportReport:
    """Import a CSV file in UTF-8, up to 50,000 lines.

    Answers with a report; with `Accept: text/event-stream` as events `progress` and `report`,
    with `Accept: text/csv` as the list of the lines that failed. Repeating an import writes what
    is missing or differs, and no more.
    """
    writer, request_key = importer
    file = await _received(request)
    try:
        header = read_header(file)
        plan = make_plan(
            kind,
            header,
            _mapping(column_map or []),
            key_header=key_column,
            source=source,
            request_key=request_key,
        )
    except (csv.Error, UnicodeDecodeError) as error:
        file.close()
        raise InvalidRequestError("The file is not CSV in UTF-8.", []) from error
    except ServiceError:
        file.close()
        raise
    steps = _steps(file, writer, header, plan, dry_run=dry_run)
    if "text/event-stream" in accept:
        return StreamingResponse(_events(steps), media_type="text/event-stream")  # type: ignore[return-value]
    report = ImportReport(dry_run=dry_run)
    async for step in steps:
        report = step
    if "text/csv" in accept:
        return Response(_problems_csv(report), media_type="text/csv")  # type: ignore[return-value]
    return report


class CsvStream(StreamingResponse):
    """A CSV file that is written while it is read."""

    media_type = "text/csv"


@router.get("/exports/{kind}", response_class=CsvStream)
async def export_csv(reader: ReaderDep, kind: ExportKind) -> CsvStream:
    """Export everything of a kind that the caller may see, as CSV in UTF-8."""
    pages = _pages(reader, kind)
    # The first page is read before the answer begins, so that a refusal is a proper one.
    first = await anext(pages)

    async def lines() -> AsyncIterator[str]:
        yield _csv([list(_EXPORTED[kind])])
        yield _csv(first)
        async for page in pages:
            yield _csv(page)

    headers = {"Content-Disposition": f'attachment; filename="{kind}.csv"'}
    return CsvStream(lines(), headers=headers)


async def _received(request: Request) -> io.TextIOWrapper:
    """Keep the body in a file that is gone when it is closed; large ones on disk."""
    raw = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - closed by its reader
    async for chunk in request.stream():
        raw.write(chunk)
    raw.seek(0)
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


async def _steps(
    file: Any, writer: Writer, header: list[str], plan: Plan, *, dry_run: bool
) -> AsyncIterator[ImportReport]:
    try:
        async for report in run_import(writer, file, header, plan, dry_run=dry_run):
            yield report
    except UnicodeDecodeError as error:
        raise InvalidRequestError("The file is not in UTF-8.", []) from error
    finally:
        file.close()


async def _events(steps: AsyncIterator[ImportReport]) -> AsyncIterator[bytes]:
    report: ImportReport | None = None
    try:
        async for report in steps:
            yield _event("progress", report.model_dump(mode="json", exclude={"problems"}))
        if report is not None:
            yield _event("report", report.model_dump(mode="json"))
    except ServiceError as error:
        yield _event("problem", {"code": error.code, "detail": error.detail, **error.extra})


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: ".encode() + to_json(data) + b"\n\n"


def _mapping(pairs: list[str]) -> dict[str, str]:
    mapping = {}
    for pair in pairs:
        name, sign, column = pair.rpartition("=")
        if not sign or not name:
            reason = "must be Header=column"
            raise InvalidRequestError(f"map {reason}.", [{"field": "query.map", "message": reason}])
        mapping[name] = column
    return mapping


def _problems_csv(report: ImportReport) -> str:
    rows = [[p.line, p.key, p.code, p.detail] for p in report.problems]
    return _csv([["line", "key", "code", "detail"], *rows])


async def _pages(reader: Reader, kind: ExportKind) -> AsyncIterator[list[list[Any]]]:
    columns = _EXPORTED[kind]
    key = columns[0]
    after: str | None = None
    while True:
        query = {"select": ",".join(columns), "order": key, "limit": str(_EXPORT_PAGE)}
        if kind not in {"leads", "calls"}:
            query["deleted_at"] = "is.null"
        if after is not None:
            query[key] = f"gt.{after}"
        rows = await reader.select(kind, query)
        yield [[row[column] for column in columns] for row in rows]
        if len(rows) < _EXPORT_PAGE:
            return
        after = rows[-1][key]


def _csv(rows: list[list[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return to_json(value).decode()
    if isinstance(value, str) and value.startswith(_FORMULA):
        # A spreadsheet must not run what a customer typed.
        return f"'{value}"
    return value
