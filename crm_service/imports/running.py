"""Run an import: batches of lines, some at once, each row reported on, nothing twice."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

from crm_service.access import Writer
from crm_service.imports.report import ImportReport
from crm_service.imports.rows import BrokenLine, Line
from crm_service.imports.writing import write_lines

_BATCH = 500
# While the database writes some batches, the next one is read and checked. More at once would only
# take turns, and connections, from other staff.
_AT_ONCE = 3
# After as many lines, requests of others get their turn.
_BREATH = 50


async def run_import(
    writer: Writer, lines: Iterator[Line | BrokenLine], *, dry_run: bool
) -> AsyncIterator[ImportReport]:
    """Import lines; yield the report after each batch.

    Repeating an import, whole or after a break, writes what is missing or differs, and no more.

    Args:
        writer: Who imports.
        lines: None is about the same rows as another.
        dry_run: Write nothing, and tell what would be written.
    """
    report = ImportReport(dry_run=dry_run)
    running = _Running()
    try:
        async for part, batch in _batches(lines, dry_run=dry_run):
            while running.is_full:
                report.add(await running.next())
                yield report
            running.start(write_lines(writer, batch, part))
        while running:
            report.add(await running.next())
            yield report
    except Exception:
        # What was read before is written, as if it had been one batch at a time.
        await running.finish()
        raise
    finally:
        await running.cancel()


async def _batches(
    lines: Iterator[Line | BrokenLine], *, dry_run: bool
) -> AsyncIterator[tuple[ImportReport, list[Line]]]:
    """Yield batches of lines, each with the report on those that cannot even be tried."""
    batch: list[Line] = []
    part = ImportReport(dry_run=dry_run)
    for read, line in enumerate(lines, start=1):
        part.read += 1
        if read % _BREATH == 0:
            await asyncio.sleep(0)
        if isinstance(line, BrokenLine):
            part.fail(line.number, line.key, "invalid-line", line.reason)
            continue
        batch.append(line)
        if len(batch) == _BATCH:
            yield part, batch
            batch = []
            part = ImportReport(dry_run=dry_run)
    yield part, batch


class _Running:
    """Batches that are being written; their results are taken in the order of the file."""

    def __init__(self) -> None:
        self._tasks: deque[asyncio.Task[ImportReport]] = deque()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    @property
    def is_full(self) -> bool:
        """Whether the next batch has to wait."""
        return len(self._tasks) >= _AT_ONCE

    def start(self, work: Coroutine[Any, Any, ImportReport]) -> None:
        """Begin to write a batch."""
        self._tasks.append(asyncio.create_task(work, name="crm-import-batch"))

    async def next(self) -> ImportReport:
        """Return the report on the oldest batch."""
        return await self._tasks.popleft()

    async def finish(self) -> None:
        """Wait for what is being written, whatever comes of it."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cancel(self) -> None:
        """Leave nothing running."""
        for task in self._tasks:
            task.cancel()
        await self.finish()
