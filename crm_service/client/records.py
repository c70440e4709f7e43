"""Calls about the whole: history, activity, numbers, many rows at once, live events."""

from collections.abc import AsyncIterator
from typing import Any, Unpack
from uuid import UUID

from crm_service.analytics.schemas import Dashboard
from crm_service.bulk.kinds import BulkKind
from crm_service.bulk.schemas import BulkRequest, BulkResult
from crm_service.client.connection import CrmConnection, Event
from crm_service.client.queries import (
    ActivityQuery,
    DashboardQuery,
    DifferenceQuery,
    EventQuery,
    HistoryQuery,
    ImportQuery,
)
from crm_service.history.schemas import (
    ActivityPage,
    Difference,
    History,
    HistoryTable,
    Restore,
    Restored,
)
from crm_service.imports.exports import ExportKind
from crm_service.imports.rows import ImportKind

# A batch of an import may have to wait for the database several times.
_PAUSE_S = 90.0


class RecordCalls(CrmConnection):
    """History, activity, numbers, many rows at once, live events."""

    async def get_difference(
        self, table: HistoryTable, row_id: UUID, **query: Unpack[DifferenceQuery]
    ) -> Difference:
        """Return what differs between two versions; ``query``: from_version, to_version."""
        return await self._get(f"history/{table}/{row_id}/diff", Difference, query)

    async def get_history(
        self, table: HistoryTable, row_id: UUID, **query: Unpack[HistoryQuery]
    ) -> History:
        """Return the changes of a row, newest first; ``query``: limit, before_id."""
        return await self._get(f"history/{table}/{row_id}", History, query)

    async def restore(self, table: HistoryTable, row_id: UUID, body: Restore) -> Restored:
        """Put a row back to what it was after a change."""
        return await self._post(f"history/{table}/{row_id}/restore", Restored, body)

    async def list_activity(self, **query: Unpack[ActivityQuery]) -> ActivityPage:
        """Return what happened; ``query``: limit, before_id, table, customer_id, actor."""
        return await self._get("activity", ActivityPage, query)

    async def get_dashboard(self, **query: Unpack[DashboardQuery]) -> Dashboard:
        """Return the dashboard; ``query``: first_day, last_day, zone."""
        return await self._get("analytics/dashboard", Dashboard, query)

    async def create_in_bulk(self, kind: BulkKind, body: BulkRequest) -> BulkResult:
        """Create up to 1,000 rows of a kind."""
        return await self._post(f"bulk/{kind}", BulkResult, body)

    async def import_csv(
        self,
        kind: ImportKind,
        content: bytes,
        *,
        key: str | None = None,
        **query: Unpack[ImportQuery],
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Import a CSV file; yield its events: ``progress`` and in the end ``report``.

        Args:
            kind: What the lines are.
            content: The file in UTF-8.
            key: Idempotency key; needed without ``key_column``.
            query: key_column, map (``Header=column``, several), source, dry_run.

        Raises:
            CrmProblemError: Refused, at once or half-way; importing again continues.
            CrmUnreachableError: No answer, or the connection broke.
        """
        key = key or self._key
        headers = {"Content-Type": "text/csv", **({"Idempotency-Key": key} if key else {})}
        path = f"imports/{kind}"
        events = self.stream(
            *("POST", path), query=query, content=content, headers=headers, pause_s=_PAUSE_S
        )
        async for event in events:
            yield event.name, event.data

    async def export_csv(self, kind: ExportKind) -> bytes:
        """Return everything of a kind as a CSV file in UTF-8."""
        return (await self.request("GET", f"exports/{kind}")).content

    async def follow_events(
        self, last_event_id: str | None = None, **query: Unpack[EventQuery]
    ) -> AsyncIterator[Event]:
        """Yield what happens, from now on or behind the event with this id.

        Args:
            last_event_id: ``id`` of the last event taken in; after a lost connection the stream
                goes on behind it, without gaps.
            query: customer_id, room, visible.

        Raises:
            CrmProblemError: Refused, or the session ended.
            CrmUnreachableError: No answer, or the connection broke.
        """
        headers = {"Last-Event-ID": last_event_id} if last_event_id is not None else {}
        async for event in self.stream("GET", "events", query=query, headers=headers):
            yield event
