"""HTTP of CSV files with everything of a kind; an import takes them back."""

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from crm_service.access import Reader
from crm_service.database import Row
from crm_service.dependencies import ReaderDep
from crm_service.imports.cells import defused

router = APIRouter(tags=["csv"])
_PAGE = 500

ExportKind: TypeAlias = Literal[
    "customers", "leads", "jobs", "invoices", "messages", "loyalty", "calls"
]


@dataclass(frozen=True, slots=True)
class _Export:
    """What a file holds.

    Attributes:
        table: Where its rows are.
        columns: Of the table; the first one is its key.
        of_customer: Columns of the row's customer that stand behind the key.
        soft_deleted: Rows of the table that were deleted are left out.
    """

    table: str
    columns: tuple[str, ...]
    of_customer: tuple[str, ...] = ()
    soft_deleted: bool = True

    @property
    def header(self) -> list[str]:
        """The names of the columns, in their order."""
        return [self.columns[0], *self.of_customer, *self.columns[1:]]

    def query(self, after: str | None) -> dict[str, str]:
        """Return what to ask for: the rows behind a key."""
        key = self.columns[0]
        query = {"select": ",".join(self.columns), "order": key, "limit": str(_PAGE)}
        if self.of_customer:
            query["select"] += f",customer:customers!inner({','.join(self.of_customer)})"
            query["customer.deleted_at"] = "is.null"
        if self.soft_deleted:
            query["deleted_at"] = "is.null"
        if after is not None:
            query[key] = f"gt.{after}"
        return query

    def cells(self, row: Row) -> list[Any]:
        """Return the values of a row, in the order of the header."""
        customer = row.get("customer", {})
        return [customer[name] if name in self.of_customer else row[name] for name in self.header]


_EXPORTS: dict[ExportKind, _Export] = {
    "customers": _Export(
        "customers", ("id", "name", "email", "phone", "address", "branch", "preferences")
    ),
    "leads": _Export(
        "leads",
        (
            "customer_id",
            "status",
            "score",
            "conversion_probability",
            "source",
            "estimated_value_cents",
            "currency",
            "assigned_to",
            "next_follow_up_at",
            "closed_at",
        ),
        of_customer=("name", "email", "phone", "address", "branch"),
        soft_deleted=False,
    ),
    "jobs": _Export(
        "jobs",
        (
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
    ),
    "invoices": _Export(
        "invoices",
        (
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
    ),
    "messages": _Export(
        "messages", ("id", "customer_id", "sender", "sender_name", "body", "read_at")
    ),
    "loyalty": _Export(
        "loyalty_transactions",
        (
            "id",
            "customer_id",
            "entry_no",
            "kind",
            "points",
            "balance_after",
            "reason",
            "created_at",
        ),
        soft_deleted=False,
    ),
    "calls": _Export(
        "calls",
        (
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
        soft_deleted=False,
    ),
}


class CsvStream(StreamingResponse):
    """A CSV file that is written while it is read."""

    media_type = "text/csv"


@router.get("/exports/{kind}", response_class=CsvStream)
async def export_csv(reader: ReaderDep, kind: ExportKind) -> CsvStream:
    """Export everything of a kind that the caller may see, as CSV in UTF-8.

    An import takes the file of `customers`, `leads` and `jobs` back as it is.
    """
    export = _EXPORTS[kind]
    pages = _pages(reader, export)
    # The first page is read before the answer begins, so that a refusal is a proper one.
    first = await anext(pages)

    async def lines() -> AsyncIterator[str]:
        yield render_csv([export.header])
        yield render_csv(first)
        async for page in pages:
            yield render_csv(page)

    headers = {"Content-Disposition": f'attachment; filename="{kind}.csv"'}
    return CsvStream(lines(), headers=headers)


async def _pages(reader: Reader, export: _Export) -> AsyncIterator[list[list[Any]]]:
    after: str | None = None
    while True:
        rows = await reader.select(export.table, export.query(after))
        yield [export.cells(row) for row in rows]
        # A short page is not the end: a project may give fewer rows at once than were asked for.
        if not rows:
            return
        after = rows[-1][export.columns[0]]


def render_csv(rows: list[list[Any]]) -> str:
    """Return rows as lines of CSV that a spreadsheet runs nothing of."""
    out = io.StringIO()
    writer = csv.writer(out)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return to_json(value).decode()
    return defused(value) if isinstance(value, str) else value


__all__ = ["ExportKind", "render_csv", "router"]
