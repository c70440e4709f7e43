"""A Supabase project in memory, for tests of portals."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal_sdk import blocking
from portal_sdk._core.events import (
    DoorbellJoined,
    DoorbellLost,
    DoorbellRang,
    HeartbeatAnswered,
    LossKind,
)
from portal_sdk._runtime.http import HttpAnswer, HttpRequest
from portal_sdk._runtime.tokens import PasswordAuth
from portal_sdk._runtime.transport import DoorbellLink, Sink
from portal_sdk.config import PortalConfig
from portal_sdk.errors import ConfigurationError, ConnectError, ConnectionLostError
from portal_sdk.models import TABLE_MODELS
from portal_sdk.testing.feed import FakeFeed, now_text
from portal_sdk.testing.portal import FAKE_KEY, FAKE_URL, FakeBlockingPortal, FakePortal
from portal_sdk.testing.rest import FakeRest, json_answer
from portal_sdk.types import DoorbellKind, Row


@dataclass(frozen=True, slots=True)
class FakeCustomer:
    """A customer with a login."""

    id: str
    user_id: str
    email: str


@dataclass(slots=True)
class ProjectFaults:
    """What goes wrong until it is switched off.

    Attributes:
        is_offline: Nothing answers; see also ``FakeProject.cut``.
        http_status: Every request is answered with this status.
        loses_doorbells: Changes are committed, and nobody is rung.
        loses_answers: Requests take effect, and their answers are lost.
        write_refusal: (status, SQLSTATE, message) for every write.
    """

    is_offline: bool = False
    http_status: int | None = None
    loses_doorbells: bool = False
    loses_answers: bool = False
    write_refusal: tuple[int, str, str] | None = None


class FakeProject:
    """Customers, their rows, the change feed, and what customers may write.

    It follows the feed protocol of docs/reference/database.md. It checks neither passwords nor
    policies: use a local stack for that. All methods may be called from any thread.

    Attributes:
        faults: Switches; they act on the next request.
    """

    def __init__(self) -> None:
        self.faults = ProjectFaults()
        self._customers: dict[str, FakeCustomer] = {}
        self._feeds: dict[str, FakeFeed] = {}
        self._links: set[_FakeLink] = set()
        self._rest = FakeRest(self.ring)
        self._lock = threading.RLock()

    # What staff do.

    def add_customer(self, email: str = "jo@example.com", **columns: Any) -> FakeCustomer:
        """Add a customer with a login; any password signs in."""
        customer = FakeCustomer(str(uuid.uuid4()), str(uuid.uuid4()), email)
        self._customers[customer.user_id] = customer
        self._feeds[customer.id] = FakeFeed(customer.id)
        row: Row = {
            "id": customer.id, "portal_user_id": customer.user_id, "name": "Jo", "email": email,
            "phone": None, "address": None, "preferences": {}, **columns,
        }  # fmt: skip
        self._put(customer, "customers", row)
        return customer

    def insert(self, customer: FakeCustomer, table: str, **columns: Any) -> str:
        """Add a row to one of the five portal tables; return its id.

        Raises:
            ConfigurationError: An unknown table.
        """
        if table not in TABLE_MODELS:
            raise ConfigurationError(f"table must be one of {', '.join(TABLE_MODELS)}")
        row_id = str(columns.pop("id", uuid.uuid4()))
        row: Row = {"id": row_id, "customer_id": customer.id, **columns}
        if table == "messages":
            row = {"sender": "staff", "sender_name": "Office", "read_at": None, **row}
        self._put(customer, table, row)
        return row_id

    def update(self, customer: FakeCustomer, table: str, row_id: str, **columns: Any) -> None:
        """Change columns of a row."""
        with self._lock:
            old = self._feeds[customer.id].tables[table][row_id]
            row = {**old, **columns, "version": old["version"] + 1, "updated_at": now_text()}
            self._feeds[customer.id].put(table, row)
        self.ring(customer.id)

    def remove(self, customer: FakeCustomer, table: str, row_id: str) -> None:
        """Take a row out of the customer's sight."""
        with self._lock:
            self._feeds[customer.id].take(table, row_id)
        self.ring(customer.id)

    def rows(self, customer: FakeCustomer, table: str) -> list[Row]:
        """Return the rows the database holds, for comparison."""
        with self._lock:
            return [dict(row) for row in self._feeds[customer.id].tables[table].values()]

    # What goes wrong.

    def cut(self) -> None:
        """Break every doorbell."""
        for link in list(self._links):
            link.end(ConnectionLostError("cut by the test"))

    def break_continuity(self, customer: FakeCustomer) -> None:
        """Act like a restored backup: portals must read everything again."""
        with self._lock:
            self._feeds[customer.id].restart()
        self.ring(customer.id)

    # Portals.

    def portal(
        self,
        customer: FakeCustomer,
        *,
        store: str | Path | None = None,
        config: PortalConfig | None = None,
    ) -> FakePortal:
        """Return a portal of this customer; enter it with ``async with``."""
        auth = PasswordAuth(customer.email, "any")
        portal = FakePortal(FAKE_URL, FAKE_KEY, auth=auth, store=store, config=config)
        portal.network = self
        return portal

    def blocking_portal(
        self,
        customer: FakeCustomer,
        *,
        store: str | Path | None = None,
        config: PortalConfig | None = None,
    ) -> blocking.Portal:
        """Return a portal of this customer without asyncio; enter it with ``with``."""
        return FakeBlockingPortal(self.portal(customer, store=store, config=config))

    # The network.

    @property
    def transport(self) -> FakeProject:
        """Doorbells are made by the project itself."""
        return self

    def create_link(
        self, generation: int, scope: str, token: str, sink: Sink, kind: DoorbellKind
    ) -> DoorbellLink:
        """Return a doorbell in memory."""
        del token, kind
        return _FakeLink(self._links, self.faults, generation, scope, sink)

    async def respond(self, request: HttpRequest) -> HttpAnswer:
        """Answer one request as PostgREST and Auth would."""
        faults = self.faults
        if faults.is_offline:
            raise ConnectError("offline by the test")
        if faults.http_status is not None:
            return json_answer(faults.http_status, {"message": "refused by the test"})
        with self._lock:
            answer = self._answer(request)
        if faults.loses_answers:
            raise ConnectionLostError("answer lost by the test")
        return answer

    def ring(self, customer_id: str) -> None:
        """Ring every doorbell of this customer."""
        feed = self._feeds[customer_id]
        if not self.faults.loses_doorbells and not self.faults.is_offline:
            for link in list(self._links):
                link.ring(feed.scope, feed.epoch, feed.n)

    def _answer(self, request: HttpRequest) -> HttpAnswer:
        path = request.path
        if path == "/auth/v1/token":
            return self._sign_in(json.loads(request.content))
        customer = self._customers.get(_subject(request))
        if customer is None:
            return json_answer(401, {"code": "PGRST301", "message": "unknown user"})
        refusal = self.faults.write_refusal
        is_read = request.method == "GET" or "/rpc/portal_" in path
        if refusal is not None and not is_read:
            status, code, message = refusal
            return json_answer(status, {"code": code, "message": message})
        return self._rest.answer(request, self._feeds[customer.id])

    def _sign_in(self, body: Row) -> HttpAnswer:
        for customer in self._customers.values():
            known = body.get("email"), body.get("refresh_token")
            if customer.email == known[0] or customer.user_id == known[1]:
                claims = json.dumps({"sub": customer.user_id}).encode()
                token = f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.x"
                issued = {"access_token": token, "refresh_token": customer.user_id}
                return json_answer(200, {**issued, "expires_in": 3600})
        return json_answer(400, {"error_code": "invalid_credentials", "msg": "unknown"})

    def _put(self, customer: FakeCustomer, table: str, row: Row) -> None:
        times = {"created_at": now_text(), "updated_at": now_text(), "version": 1}
        with self._lock:
            self._feeds[customer.id].put(table, {**times, **row})
        self.ring(customer.id)


@dataclass(eq=False)
class _FakeLink:
    links: set[_FakeLink]
    faults: ProjectFaults
    generation: int
    scope: str
    sink: Sink
    has_ended: bool = field(default=False)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    async def open(self) -> None:
        if self.faults.is_offline:
            self.end(ConnectError("offline by the test"))
        else:
            self.links.add(self)
            self.sink(DoorbellJoined(self.generation))

    async def push_token(self, token: str) -> None:
        del token

    async def heartbeat(self) -> None:
        if not self.faults.is_offline:
            self.sink(HeartbeatAnswered(self.generation))

    async def close(self) -> None:
        self.has_ended = True
        self.links.discard(self)

    def ring(self, scope: str, epoch: str, n: int) -> None:
        if scope == self.scope:
            self.tell(DoorbellRang(self.generation, epoch, n))

    def end(self, error: ConnectError | ConnectionLostError) -> None:
        self.links.discard(self)
        if not self.has_ended:
            self.has_ended = True
            self.tell(DoorbellLost(self.generation, LossKind.NETWORK, error))

    def tell(self, event: DoorbellRang | DoorbellLost) -> None:
        """Hand a fact to the portal, from whatever thread."""
        try:
            is_here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            is_here = False  # a thread without a loop
        if is_here:
            self.sink(event)
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.sink, event)


def _subject(request: HttpRequest) -> str:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["sub"])
    except (IndexError, KeyError, ValueError):
        return ""
