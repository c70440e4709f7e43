"""Run an import: batches of lines, each row reported on, nothing twice."""

import csv
from collections.abc import AsyncIterator, Iterator
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from crm_service.access import Writer
from crm_service.bulk.kinds import read_row
from crm_service.bulk.schemas import RowResult
from crm_service.bulk.writing import write_rows
from crm_service.errors import InvalidRequestError
from crm_service.imports.rows import Line, Plan, read_lines

_BATCH = 500
MAX_ROWS = 50_000
MAX_REPORTED = 1_000


class LineProblem(BaseModel):
    """Why a line was not imported."""

    line: int = Field(description="In the file; the header is line 1.")
    key: str
    code: str
    detail: str


class ImportReport(BaseModel):
    """What an import did, or would do."""

    dry_run: bool
    read: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    problems: list[LineProblem] = Field(
        default_factory=list, description=f"The first {MAX_REPORTED}."
    )


async def run_import(
    writer: Writer, text: Iterator[str], header: list[str], plan: Plan, *, dry_run: bool
) -> AsyncIterator[ImportReport]:
    """Import the lines behind the header; yield the report after each batch.

    Repeating an import, whole or after a break, writes what is missing or differs, and no more.

    Args:
        writer: Who imports.
        text: The file behind its header.
        header: Its headers.
        plan: How it is read.
        dry_run: Only check what can be checked without writing.

    Raises:
        InvalidRequestError: The quoting is broken, or there are too many lines.
    """
    report = ImportReport(dry_run=dry_run)
    batch: list[Line] = []
    try:
        for line in read_lines(text, header, plan):
            report.read += 1
            if report.read > MAX_ROWS:
                raise _broken(f"has more than {MAX_ROWS} lines; split it")
            if isinstance(line, int):
                _fail(report, line, "", "invalid-line", "It has another number of cells.")
                continue
            batch.append(line)
            if len(batch) == _BATCH:
                await _write(writer, batch, report)
                batch.clear()
                yield report
    except csv.Error as error:
        raise _broken(f"is not CSV behind line {report.read + 1}: {error}") from error
    await _write(writer, batch, report)
    yield report


async def _write(writer: Writer, lines: list[Line], report: ImportReport) -> None:
    """Write the rows of some lines, table after table; a line fails as a whole."""
    outcome: dict[int, Literal["created", "updated", "unchanged"]] = {}
    alive = {line.number: line for line in lines}
    for place in range(max((len(line.items) for line in lines), default=0)):
        rows = []
        numbers = []
        for line in list(alive.values()):
            kind, item = line.items[place]
            row = read_row(kind, 0, item, writer.caller.subject.user_id, UUID(int=0))
            if isinstance(row, RowResult):
                _refuse(report, alive, line, row)
            else:
                rows.append(row)
                numbers.append(line.number)
        if report.dry_run or not rows:
            continue
        for result in await write_rows(writer, lines[0].items[place][0], rows, mode="save"):
            number = numbers[result.index]
            if result.status == "failed":
                _refuse(report, alive, alive[number], result)
            elif outcome.get(number, "unchanged") == "unchanged" and result.status != "undone":
                outcome[number] = result.status
    for number in alive:
        status = outcome.get(number, "unchanged")
        setattr(report, status, getattr(report, status) + 1)


def _refuse(report: ImportReport, alive: dict[int, Line], line: Line, result: RowResult) -> None:
    del alive[line.number]
    detail = "; ".join(f"{e.field.removeprefix('item.')}: {e.message}" for e in result.errors or [])
    _fail(report, line.number, line.key, result.code or "failed", detail or result.detail or "")


def _fail(report: ImportReport, line: int, key: str, code: str, detail: str) -> None:
    report.failed += 1
    if len(report.problems) < MAX_REPORTED:
        report.problems.append(LineProblem(line=line, key=key, code=code, detail=detail))


def _broken(reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"The file {reason}.", [{"field": "body", "message": reason}])
