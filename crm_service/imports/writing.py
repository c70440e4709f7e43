"""Write the rows of some lines, each line whole or not at all; or tell what would come of it."""

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID

from crm_service.access import Writer
from crm_service.bulk.kinds import KINDS, Kind, read_row
from crm_service.bulk.schemas import RowResult
from crm_service.bulk.writing import try_rows, write_rows
from crm_service.imports.assignees import refused_assignees
from crm_service.imports.preview import Outcome, preview_rows, stored_ids
from crm_service.imports.report import ImportReport
from crm_service.imports.rows import Line

# After as many lines, requests of others get their turn.
_BREATH = 50
_NO_ID = UUID(int=0)

_Rows: TypeAlias = dict[int, dict[str, Any]]
"""By the number of their line."""


async def write_lines(writer: Writer, lines: list[Line], report: ImportReport) -> ImportReport:
    """Write the rows of some lines, or with a report on a dry run judge them.

    Args:
        writer: Who writes.
        lines: None is about the same rows as another.
        report: On what was read before these lines; they are added.
    """
    batch = _Batch(writer, lines, report)
    tables = await batch.read()
    if len(tables) > 1:
        await batch.save_leads(*tables)
    elif tables:
        await batch.save(lines[0].items[0][0], tables[0])
    batch.count()
    return report


class _Batch:
    """Some lines; those that fail are taken out."""

    def __init__(self, writer: Writer, lines: Sequence[Line], report: ImportReport) -> None:
        self._writer = writer
        self._report = report
        self._alive = {line.number: line for line in lines}
        self._outcome: dict[int, Outcome] = {}

    async def read(self) -> list[_Rows]:
        """Return the rows for each table; take out the lines that are wrong in any of them."""
        caller = self._writer.caller.subject.user_id
        tables: list[_Rows] = []
        for count, line in enumerate(list(self._alive.values()), start=1):
            if count % _BREATH == 0:
                await asyncio.sleep(0)
            read = [read_row(kind, 0, item, caller, _NO_ID) for kind, item in line.items]
            wrong = [row for row in read if isinstance(row, RowResult)]
            if wrong:
                self._refuse(line, wrong)
                continue
            tables = tables or [{} for _ in read]
            for table, row in zip(tables, read, strict=True):
                assert not isinstance(row, RowResult)  # noqa: S101 - none is wrong
                table[line.number] = row
        return tables

    async def save_leads(self, customers: _Rows, leads: _Rows) -> None:
        """Save customers with their leads, so that no line leaves half of itself behind.

        A lead may be refused to the caller, a customer is not. So the lead goes first where its
        customer is there already, and what could be refused of the others is asked before.
        """
        ids = {number: str(row["id"]) for number, row in customers.items()}
        stored = await stored_ids(self._writer, KINDS["customers"], list(ids.values()))
        new = {number: row for number, row in leads.items() if ids[number] not in stored}
        await self._refuse_assignees(new)
        known = {number: row for number, row in leads.items() if number not in new}
        await self.save(KINDS["leads"], known)
        await self.save(KINDS["customers"], customers)
        if not self._report.dry_run:
            # A trial cannot refer to a customer that is not there.
            await self.save(KINDS["leads"], new, but=" Its customer was written.")

    async def save(self, kind: Kind, rows: _Rows, *, but: str = "") -> None:
        """Save the rows of those lines that have not failed.

        Args:
            kind: What the rows are.
            rows: At most one for each line.
            but: What to add to the reason of a refusal.
        """
        alive = {number: row for number, row in rows.items() if number in self._alive}
        if not alive:
            return
        if self._report.dry_run:
            await self._judge(kind, alive)
            return
        results = await write_rows(self._writer, kind, list(alive.values()), mode="save")
        for number, result in zip(alive, results, strict=True):
            if result.status == "failed":
                self._refuse(self._alive[number], [result], but)
            elif result.status != "undone":
                self._note(number, result.status)

    def count(self) -> None:
        """Count what became of the lines that have not failed."""
        for number in self._alive:
            status = self._outcome.get(number, "unchanged")
            setattr(self._report, status, getattr(self._report, status) + 1)

    async def _judge(self, kind: Kind, rows: _Rows) -> None:
        found = await preview_rows(self._writer, kind, list(rows.values()))
        keys = {number: str(row[kind.key]) for number, row in rows.items()}
        tried = [row for row in rows.values() if found[str(row[kind.key])] != "unchanged"]
        if kind.table == "customers":
            # All staff may write all of them, and what a customer may be is known without trying.
            tried = []
        refused = await try_rows(self._writer, kind, tried)
        for number, key in keys.items():
            if key in refused:
                self._refuse(self._alive[number], [refused[key]])
            else:
                self._note(number, found[key])

    async def _refuse_assignees(self, leads: _Rows) -> None:
        named = {number: row["assigned_to"] for number, row in leads.items()}
        refused = await refused_assignees(self._writer, named.values())
        for number, one in named.items():
            if error := refused.get(one):
                self._fail(self._alive[number], error.code, error.detail)

    def _note(self, number: int, status: Outcome) -> None:
        """Note what became of a row; of a line with two, the first that is not as it was."""
        if self._outcome.get(number, "unchanged") == "unchanged":
            self._outcome[number] = status

    def _refuse(self, line: Line, results: Sequence[RowResult], but: str = "") -> None:
        errors = [error for result in results for error in result.errors or []]
        told = "; ".join(f"{e.field.removeprefix('item.')}: {e.message}" for e in errors)
        self._fail(line, results[0].code or "failed", (told or results[0].detail or "") + but)

    def _fail(self, line: Line, code: str, detail: str) -> None:
        del self._alive[line.number]
        self._report.fail(line.number, line.key, code, detail)


__all__ = ["write_lines"]
