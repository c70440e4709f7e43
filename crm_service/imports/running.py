"""Run an import: batches of lines, some at once, each row reported on, nothing twice."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from crm_service.access import Writer
from crm_service.bulk.kinds import read_row
from crm_service.bulk.schemas import RowResult
from crm_service.bulk.writing import write_rows
from crm_service.imports.preview import Outcome, preview_rows
from crm_service.imports.rows import BrokenLine, Line, Plan, read_lines

_BATCH = 500
# While the database writes some batches, the next one is read and checked. More at once would only
# take turns, and connections, from other staff.
_AT_ONCE = 3
# After as many lines, requests of others get their turn.
_BREATH = 50


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
        default_factory=list, description="Every line that failed, in the order of the file."
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
    """
    report = ImportReport(dry_run=dry_run)
    running = _Running()
    try:
        async for part, lines in _batches(text, header, plan, dry_run=dry_run):
            while running.is_full or running.touches(lines):
                _add(report, await running.next())
                yield report
            running.start(_write(writer, lines, part), lines)
        while running:
            _add(report, await running.next())
            yield report
    except Exception:
        # What was read before is written, as if it had been one batch at a time.
        await running.finish()
        raise
    finally:
        await running.cancel()


async def _batches(
    text: Iterator[str], header: list[str], plan: Plan, *, dry_run: bool
) -> AsyncIterator[tuple[ImportReport, list[Line]]]:
    """Yield batches of lines, each with the report on those that cannot even be tried."""
    lines: list[Line] = []
    part = ImportReport(dry_run=dry_run)
    for read, line in enumerate(read_lines(text, header, plan), start=1):
        part.read += 1
        if read % _BREATH == 0:
            await asyncio.sleep(0)
        if isinstance(line, BrokenLine):
            _fail(part, line.number, "", "invalid-line", line.reason)
            continue
        lines.append(line)
        if len(lines) == _BATCH:
            yield part, lines
            lines = []
            part = ImportReport(dry_run=dry_run)
    yield part, lines


class _Running:
    """Batches that are being written; their results are taken in the order of the file."""

    def __init__(self) -> None:
        self._tasks: deque[tuple[asyncio.Task[ImportReport], frozenset[str]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    @property
    def is_full(self) -> bool:
        """Whether the next batch has to wait."""
        return len(self._tasks) >= _AT_ONCE

    def touches(self, lines: list[Line]) -> bool:
        """Tell whether a row of these lines is being written: then the later line must win."""
        rows = _row_ids(lines)
        return any(not rows.isdisjoint(written) for _, written in self._tasks)

    def start(self, work: Coroutine[Any, Any, ImportReport], lines: list[Line]) -> None:
        task = asyncio.create_task(work, name="crm-import-batch")
        self._tasks.append((task, _row_ids(lines)))

    async def next(self) -> ImportReport:
        """Return the report on the oldest batch."""
        task, _ = self._tasks.popleft()
        return await task

    async def finish(self) -> None:
        """Wait for what is being written, whatever comes of it."""
        await asyncio.gather(*(task for task, _ in self._tasks), return_exceptions=True)

    async def cancel(self) -> None:
        """Leave nothing running."""
        for task, _ in self._tasks:
            task.cancel()
        await self.finish()


def _row_ids(lines: list[Line]) -> frozenset[str]:
    return frozenset(str(item.get(kind.key)) for line in lines for kind, item in line.items)


def _add(report: ImportReport, part: ImportReport) -> None:
    """Add the report on a batch to that on the file."""
    for name in ("read", "created", "updated", "unchanged", "failed"):
        setattr(report, name, getattr(report, name) + getattr(part, name))
    report.problems += sorted(part.problems, key=lambda problem: problem.line)


async def _write(writer: Writer, lines: list[Line], report: ImportReport) -> ImportReport:
    """Write the rows of some lines, table after table; a line fails as a whole."""
    outcome: dict[int, Outcome] = {}
    alive = {line.number: line for line in lines}
    for place in range(max((len(line.items) for line in lines), default=0)):
        rows = await _rows(writer, alive, place, report)
        if not rows:
            continue
        kind = lines[0].items[place][0]
        if report.dry_run:
            found = await preview_rows(writer, kind, list(rows.values()))
            for number, row in rows.items():
                _note(outcome, number, found[str(row[kind.key])])
            continue
        numbers = list(rows)
        for result in await write_rows(writer, kind, list(rows.values()), mode="save"):
            number = numbers[result.index]
            if result.status == "failed":
                _refuse(report, alive, alive[number], result)
            elif result.status != "undone":
                _note(outcome, number, result.status)
    for number in alive:
        status = outcome.get(number, "unchanged")
        setattr(report, status, getattr(report, status) + 1)
    return report


async def _rows(
    writer: Writer, alive: dict[int, Line], place: int, report: ImportReport
) -> dict[int, dict[str, Any]]:
    """Return the row at a place of each line, by its number; take out the lines that are wrong."""
    rows = {}
    for count, line in enumerate(list(alive.values()), start=1):
        if count % _BREATH == 0:
            await asyncio.sleep(0)
        kind, item = line.items[place]
        row = read_row(kind, 0, item, writer.caller.subject.user_id, UUID(int=0))
        if isinstance(row, RowResult):
            _refuse(report, alive, line, row)
        else:
            rows[line.number] = row
    return rows


def _note(outcome: dict[int, Outcome], number: int, status: Outcome) -> None:
    """Note what became of a row; of a line with two rows, the first that is not as it was."""
    if outcome.get(number, "unchanged") == "unchanged":
        outcome[number] = status


def _refuse(report: ImportReport, alive: dict[int, Line], line: Line, result: RowResult) -> None:
    del alive[line.number]
    detail = "; ".join(f"{e.field.removeprefix('item.')}: {e.message}" for e in result.errors or [])
    _fail(report, line.number, line.key, result.code or "failed", detail or result.detail or "")


def _fail(report: ImportReport, line: int, key: str, code: str, detail: str) -> None:
    report.failed += 1
    report.problems.append(LineProblem(line=line, key=key, code=code, detail=detail))
