"""What the page shows: each customer's portal as JSON, told to every open page as it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Final

from portal_sdk import Change, Portal

_QUEUE_CAPACITY: Final = 256
_SHOWN_ROWS: Final = 6


class Board:
    """The portals on the page, and the pages that follow them.

    Args:
        portals: By the name that the page shows.
        has_network: Tells whether the portals' network is there.
    """

    def __init__(self, portals: dict[str, Portal], has_network: Callable[[], bool]) -> None:
        self._portals = portals
        self._has_network = has_network
        self._pages: set[asyncio.Queue[dict[str, Any] | None]] = set()

    async def follow(self, name: str) -> None:
        """Tell every page each change and each status of one portal, until cancelled."""
        portal = self._portals[name]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_changes(name, portal))
            group.create_task(self._follow_statuses(name, portal))

    async def _follow_changes(self, name: str, portal: Portal) -> None:
        async for change in portal.changes():
            self._tell(self._event(name, change))

    async def _follow_statuses(self, name: str, portal: Portal) -> None:
        async for _ in portal.statuses():
            self._tell(self._event(name))

    def tell_all(self) -> None:
        """Tell every page how every portal is now."""
        for name in self._portals:
            self._tell(self._event(name))

    def close(self) -> None:
        """End the events of every page: a stream that is open holds up the end of the demo."""
        self._tell(None)

    def _tell(self, event: dict[str, Any] | None) -> None:
        for page in self._pages:
            if page.full():  # each event holds the whole view: a slow page may skip some
                page.get_nowait()
            page.put_nowait(event)

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the portals as they are, then an event per change, for one page, until `close`."""
        page: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(_QUEUE_CAPACITY)
        self._pages.add(page)
        try:
            for name in self._portals:
                yield self._event(name)
            while (event := await page.get()) is not None:
                yield event
        finally:
            self._pages.discard(page)

    def _event(self, name: str, change: Change[Any] | None = None) -> dict[str, Any]:
        return {
            "portal": name,
            "network": self._has_network(),
            "view": view_of(self._portals[name]),
            "change": None if change is None else describe(change, datetime.now(UTC)),
        }


def view_of(portal: Portal) -> dict[str, Any]:
    """Return what one portal shows at this moment."""
    status = portal.status
    fresh_as_of = status.fresh_as_of
    has_rows = fresh_as_of is not None
    return {
        "state": str(status.state),
        "doorbell": status.doorbell,
        "fresh_as_of": fresh_as_of.isoformat() if fresh_as_of else None,
        "customer": portal.customer.name if has_rows else "",
        "balance": portal.loyalty.balance if has_rows else 0,
        "jobs": [
            {"id": str(job.id), "text": job.title, "mark": job.status}
            for job in _newest(portal.jobs)
        ],
        "invoices": [
            {
                "id": str(invoice.id),
                "text": f"{invoice.series or ''} {invoice.number or ''}".strip(),
                "mark": f"{invoice.total_cents / 100:,.2f} {invoice.currency} {invoice.status}",
            }
            for invoice in _newest(portal.invoices)
        ],
        "messages": [
            {"id": str(message.id), "text": message.body, "mark": message.sender}
            for message in _newest(portal.messages)
        ],
    }


def describe(change: Change[Any], now: datetime) -> dict[str, Any]:
    """Return what the page says about one change; the latency compares this machine's clocks."""
    committed_at = change.committed_at
    latency_ms = (now - committed_at).total_seconds() * 1000 if committed_at else None
    return {
        "table": change.table,
        "kind": change.kind,
        "id": str(change.record.id),
        "source": change.source,
        "latency_ms": None if latency_ms is None else round(latency_ms, 1),
    }


def _newest(records: Any) -> list[Any]:
    ordered = sorted(
        records,
        key=lambda record: (str(record.updated_at or record.created_at), str(record.id)),
        reverse=True,
    )
    return ordered[:_SHOWN_ROWS]
