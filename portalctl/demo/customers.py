"""The customers: each in front of a portal of their own, noting every callback and when it ran."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from portal_sdk import PasswordAuth, Portal, PortalError
from portal_sdk.types import Change
from portalctl.demo.checker import ChangeKey, Row
from portalctl.demo.errors import PortalNotReadyError
from portalctl.demo.judge import Received
from portalctl.demo.people import PASSWORD, DemoCustomer
from portalctl.demo.progress import Seat

_READY_TIMEOUT_S: Final = 45.0


class WatchedPortal:
    """One customer's portal, and everything it has told the customer since `start_counting`.

    Args:
        customer: Who signs in.
        url: Project URL.
        key: Publishable key.
    """

    def __init__(self, customer: DemoCustomer, url: str, key: str) -> None:
        self.customer = customer
        self.seat = Seat(customer.email)
        self.received: list[Received] = []
        self._is_counting = False
        self.ready = asyncio.Event()
        self._portal = Portal(url, key, auth=PasswordAuth(customer.email, PASSWORD), store=None)

    @property
    def state(self) -> str:
        """The portal's own word for its state."""
        return str(self._portal.status.state)

    def start_counting(self) -> None:
        """Start noting callbacks; what came with the first snapshot does not count."""
        self._is_counting = True

    def describe(self, sent_at_ns: Mapping[ChangeKey, int]) -> None:
        """Bring what is shown about this portal up to date.

        Args:
            sent_at_ns: When the request of a write was sent, by the change it made (monotonic).
        """
        self.seat.state = self.state
        self.seat.received_count = len(self.received)
        if self.received:
            last = self.received[-1]
            sent_ns = sent_at_ns.get(last.key)
            self.seat.last_change = f"{last.key.table} {last.kind}"
            self.seat.last_latency_ms = None if sent_ns is None else (last.at_ns - sent_ns) / 1e6

    def cache(self) -> dict[str, dict[str, Row]]:
        """Return every row the portal would show now, by table and id, as JSON values."""
        portal = self._portal
        tables: dict[str, list[Any]] = {
            "customers": [portal.customer],
            "jobs": list(portal.jobs),
            "invoices": list(portal.invoices),
            "messages": list(portal.messages),
            "loyalty_transactions": list(portal.loyalty),
        }
        return {
            table: {str(record.id): record.model_dump(mode="json") for record in records}
            for table, records in tables.items()
        }

    async def stay(self, admission: asyncio.Semaphore) -> None:
        """Open the portal, set `ready` when it is live, and keep it open until cancelled.

        Args:
            admission: How many may sign in at the same time.

        Raises:
            PortalNotReadyError: Not live in time; says why.

        Cancellation:
            The way to end it; the portal is closed.
        """
        self._portal.on_change(self._on_change)
        try:
            await admission.acquire()
            try:
                await self._portal.__aenter__()
                await self._portal.ready(timeout_s=_READY_TIMEOUT_S)
            finally:
                admission.release()
            self.ready.set()
            await asyncio.Event().wait()
        except PortalError as error:
            raise PortalNotReadyError(
                f"The portal of {self.customer.email} did not become live: {error}"
            ) from error
        finally:
            await self._portal.__aexit__(None, None, None)

    async def _on_change(self, change: Change[Any]) -> None:
        at_ns = time.monotonic_ns()
        if not self._is_counting:
            return
        version = 0 if change.kind == "delete" else change.record.version
        key = ChangeKey(change.table, str(change.record.id), version)
        self.received.append(Received(key, change.kind, str(change.source), at_ns))
