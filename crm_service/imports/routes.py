"""HTTP of CSV imports, with their progress."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from io import TextIOWrapper
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from crm_service.access import Writer
from crm_service.database import Caller
from crm_service.dependencies import ServicesDep
from crm_service.errors import InvalidRequestError, KeyReusedError, ServiceError
from crm_service.imports.exports import render_csv
from crm_service.imports.files import receive_file
from crm_service.imports.report import ImportReport
from crm_service.imports.rows import (
    ImportKind,
    Plan,
    find_repeats,
    make_plan,
    read_header,
    read_lines,
)
from crm_service.imports.running import run_import
from crm_service.problems import describe

router = APIRouter(tags=["csv"])
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

    Batches are saved by ids that are the same each time: the key is not theirs to claim, but that
    of the whole file.
    """
    caller = Caller(request.state.subject, request.state.request_id)
    return await Writer.admit(services.database, services.staff, caller), idempotency_key


_REPORTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "text/event-stream": {"schema": {"type": "string"}},
        }
    }
}


@router.post("/imports/{kind}", openapi_extra=_CSV_BODY, responses=_REPORTS | describe(408, 413))
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

    The whole file is looked through first: one that is not CSV in UTF-8 writes nothing. An empty
    cell says nothing: what is stored stays. Answers with a report; with
    `Accept: text/event-stream` as events `progress` and `report`, with `Accept: text/csv` as the
    list of the lines that failed. Repeating an import writes what is missing or differs, and no
    more.
    """
    writer, request_key = importer
    file, digest = await receive_file(request)
    try:
        header = read_header(file)
        plan = make_plan(
            kind,
            header,
            _mapping(column_map or []),
            key_header=key_column,
            source=source,
            # Of this file: another one must not take its rows, once the key is forgotten.
            request_key=f"{request_key} {digest}" if request_key else None,
        )
        if request_key is not None and not dry_run:
            await _claim(writer, request, request_key, digest)
        repeats = await asyncio.to_thread(find_repeats, file, header, plan)
        file.seek(0)
        read_header(file)
    except BaseException:
        file.close()
        raise
    steps = _steps(file, writer, header, plan, repeats, dry_run=dry_run)
    if "text/event-stream" in accept:
        return StreamingResponse(_events(steps), media_type="text/event-stream")  # type: ignore[return-value]
    report = ImportReport(dry_run=dry_run)
    async for step in steps:
        report = step
    if "text/csv" in accept:
        return Response(_problems_csv(report), media_type="text/csv")  # type: ignore[return-value]
    return report


async def _claim(writer: Writer, request: Request, key: str, digest: str) -> None:
    """Return if the key is new, or of this very file, which then goes on.

    Raises:
        KeyReusedError: It is of another request.
    """
    asked = [request.url.path, *sorted(map("=".join, request.query_params.multi_items())), digest]
    fingerprint = hashlib.sha256("\n".join(asked).encode()).hexdigest()
    try:
        await writer.call_to_write("claim_request_key", {"key": key, "fingerprint": fingerprint})
    except KeyReusedError as error:
        raise KeyReusedError(
            "This Idempotency-Key belongs to another file or request of yours. Nothing was "
            "written. Lines that failed are sent alone, with a new key; a file that is sent again "
            "and again needs a key_column."
        ) from error


async def _steps(
    file: TextIOWrapper,
    writer: Writer,
    header: list[str],
    plan: Plan,
    repeats: Mapping[int, int],
    *,
    dry_run: bool,
) -> AsyncIterator[ImportReport]:
    try:
        lines = read_lines(file, header, plan, repeats)
        async for report in run_import(writer, lines, dry_run=dry_run):
            yield report
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
        told = {"code": error.code, "status": error.status, "detail": error.detail, **error.extra}
        yield _event("problem", told)


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: ".encode() + to_json(data) + b"\n\n"


def _mapping(pairs: list[str]) -> dict[str, str]:
    mapping = {}
    for pair in pairs:
        name, sign, column = pair.rpartition("=")
        if not sign or not name:
            reason = "must be Header=column"
            raise InvalidRequestError(f"map {reason}.", [{"field": "query.map", "message": reason}])
        if name in mapping:
            reason = f"names the header '{name}' twice"
            raise InvalidRequestError(f"map {reason}.", [{"field": "query.map", "message": reason}])
        mapping[name] = column
    return mapping


def _problems_csv(report: ImportReport) -> str:
    rows = [[p.line, p.key, p.code, p.detail] for p in report.problems]
    return render_csv([["line", "key", "code", "detail"], *rows])
