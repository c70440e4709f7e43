"""A real portal whose network is a FakeProject."""

from __future__ import annotations

from typing import NoReturn, Protocol

from portal_sdk import blocking
from portal_sdk._runtime.http import HttpAnswer, HttpApi, HttpRequest
from portal_sdk._runtime.transport import Transport
from portal_sdk.errors import StateError
from portal_sdk.portal import Portal
from portal_sdk.types import Row

FAKE_URL = "http://project.test"
FAKE_KEY = "sb_publishable_test"
NO_ROOMS = "A FakeProject has no rooms: test presence and broadcast with a real project"


class FakeNetwork(Protocol):
    """What a FakePortal needs of its project."""

    @property
    def transport(self) -> Transport:
        """Makes doorbells."""
        ...

    async def respond(self, request: HttpRequest) -> HttpAnswer:
        """Answer one HTTP request."""
        ...


class FakePortal(Portal):
    """The whole SDK above the network; made by ``FakeProject.portal``.

    Rooms (presence and broadcast) need a real project, and say so.
    """

    network: FakeNetwork

    def presence(self, room: str, meta: Row | None = None) -> NoReturn:
        """Refuse at once what would wait for a server.

        Raises:
            StateError: Always.
        """
        super().presence(room, meta)  # bad input, or a portal that is closed, is said as ever
        raise StateError(NO_ROOMS)

    def broadcast(self, room: str, *, hears_self: bool = False) -> NoReturn:
        """Refuse at once what would wait for a server.

        Raises:
            StateError: Always.
        """
        super().broadcast(room, hears_self=hears_self)
        raise StateError(NO_ROOMS)

    def _create_http(self) -> HttpApi:
        return HttpApi(_FakeTransport(self.network), FAKE_URL, self._clock)

    def _create_transport(self) -> Transport:
        return self.network.transport


class FakeBlockingPortal(blocking.Portal):
    """The same without asyncio; made by ``FakeProject.blocking_portal``."""

    def __init__(self, portal: FakePortal) -> None:
        self._portal = portal
        self._running = None


class _FakeTransport:
    """Requests that go to the project in memory."""

    def __init__(self, network: FakeNetwork) -> None:
        self._network = network

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Ask the project."""
        return await self._network.respond(request)

    async def close(self) -> None:
        """Do nothing: there is no connection."""
