"""The staff's buttons: each is one request to the CRM service, as the manager."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from crm_service.client import CrmClient
from crm_service.invoices.schemas import InvoiceCreate, InvoiceItem
from crm_service.jobs.schemas import JobCreate, JobStatus
from crm_service.loyalty.schemas import PointsGrant
from crm_service.messages.schemas import MessageCreate

_TITLES: Final = ("Service the boiler", "Replace a valve", "Check the heat pump", "Bleed radiators")
_TEXTS: Final = (
    "We are on our way.",
    "The part has arrived.",
    "Thank you for your patience.",
    "See you tomorrow at nine.",
)


class Desk:
    """What staff can do from the page.

    Args:
        client: Signed in as a manager.
    """

    def __init__(self, client: CrmClient) -> None:
        self._client = client
        self._numbers = itertools.count()
        self.actions: dict[str, Callable[[UUID], Awaitable[object]]] = {
            "schedule": self._schedule,
            "progress": self._progress,
            "message": self._message,
            "invoice": self._invoice,
            "points": self._points,
        }

    async def _schedule(self, customer_id: UUID) -> object:
        title = _TITLES[next(self._numbers) % len(_TITLES)]
        start = datetime.now(UTC) + timedelta(days=1)
        return await self._client.create_job(
            JobCreate(customer_id=customer_id, title=title, scheduled_start=start)
        )

    async def _progress(self, customer_id: UUID) -> object:
        """Complete the newest job under way; none: start the newest scheduled one, or plan one."""
        steps: dict[JobStatus, Callable[..., Awaitable[object]]] = {
            "in_progress": self._client.complete_job,
            "scheduled": self._client.start_job,
        }
        for status, step in steps.items():
            page = await self._client.list_jobs(customer_id=customer_id, status=status, limit=1)
            if page.items:
                job = page.items[0]
                return await step(job.id, version=job.version)
        return await self._schedule(customer_id)

    async def _message(self, customer_id: UUID) -> object:
        body = _TEXTS[next(self._numbers) % len(_TEXTS)]
        return await self._client.post_message(MessageCreate(customer_id=customer_id, body=body))

    async def _invoice(self, customer_id: UUID) -> object:
        item = InvoiceItem(description="Boiler service", quantity=1, unit_price_cents=12_000)
        due_on = date.fromordinal(datetime.now(UTC).toordinal() + 14)
        draft = await self._client.create_invoice(
            InvoiceCreate(customer_id=customer_id, due_on=due_on, items=[item])
        )
        return await self._client.send_invoice(draft.id, version=draft.version)

    async def _points(self, customer_id: UUID) -> object:
        return await self._client.award_points(
            PointsGrant(customer_id=customer_id, points=50, reason="Thank you")
        )
