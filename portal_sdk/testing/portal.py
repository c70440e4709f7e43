"""A real portal whose network is a FakeProject."""

from __future__ import annotations

from typing import Protocol

import httpx

from portal_sdk._runtime.http import HttpApi
from portal_sdk._runtime.transport import Transport
from portal_sdk.portal import Portal

FAKE_URL = "http://project.test"
FAKE_KEY = "sb_publishable_test"


class FakeNetwork(Protocol):
    """What a FakePortal needs of its project."""

    @property
    def transport(self) -> Transport:
        """Makes doorbells."""
        ...

    async def respond(self, request: httpx.Request) -> httpx.Response:
        """Answer one HTTP request."""
        ...


class FakePortal(Portal):
    """The whole SDK above the network; made by ``FakeProject.portal``.

    Rooms (presence and broadcast) need a real project.
    """

    network: FakeNetwork

    def _create_http(self) -> HttpApi:
        client = httpx.AsyncClient(
            base_url=FAKE_URL, transport=httpx.MockTransport(self.network.respond)
        )
        return HttpApi(client, FAKE_URL)

    def _create_transport(self) -> Transport:
        return self.network.transport
