"""Faults that tests switch on: a stack that misbehaves on purpose.

Everything is off by default and read at every use, so a switch takes effect at once. Setting an
attribute is safe from any thread.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

HANG_POLL_S = 0.05


@dataclass(slots=True)
class Faults:
    """The switches of one stack.

    Attributes:
        refuse_connects: HTTP status for every Realtime handshake; None accepts.
        refuse_joins: Reason for every Realtime join; None accepts.
        reply_delay_s: Wait before each client message on a Realtime socket is handled.
        hang: Realtime sockets stay open, but nothing happens on them.
        lose_doorbells: Broadcasts from the database are swallowed.
        http_refuse: HTTP status for every request to REST and Auth; None answers.
        http_delay_s: Wait before a request to REST and Auth is handled.
        http_hang: Requests to REST and Auth are accepted and not answered while this is set.
        http_paths: Beginnings of the paths that the three switches above act on.
    """

    refuse_connects: int | None = None
    refuse_joins: str | None = None
    reply_delay_s: float = 0.0
    hang: bool = False
    lose_doorbells: bool = False
    http_refuse: int | None = None
    http_delay_s: float = 0.0
    http_hang: bool = False
    http_paths: tuple[str, ...] = ("/rest/", "/auth/")
    _drop: Callable[[], object] | None = field(default=None, repr=False)

    def drop_sockets(self) -> None:
        """Cut every Realtime socket without a closing handshake."""
        if self._drop is not None:
            self._drop()

    def bind_drop(self, drop: Callable[[], object]) -> None:
        """Say how sockets are cut; called by the stack, with something any thread may call."""
        self._drop = drop

    def reset(self) -> None:
        """Switch every fault off."""
        for item in fields(self):
            if item.name != "_drop":
                setattr(self, item.name, item.default)


class HttpFaults:
    """ASGI wrapper that lets `Faults` act on HTTP requests; health checks and sockets pass."""

    def __init__(self, app: AsgiApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection, badly if a switch says so."""
        path = str(scope.get("path", ""))
        faults = self._faults
        if scope["type"] == "http" and path.startswith(faults.http_paths):
            if faults.http_delay_s > 0:
                await asyncio.sleep(faults.http_delay_s)
            while faults.http_hang:  # noqa: ASYNC110  # the switch is set from other threads
                await asyncio.sleep(HANG_POLL_S)
            if faults.http_refuse is not None:
                await _refuse(faults.http_refuse, send)
                return
        await self._app(scope, receive, send)


async def _refuse(status: int, send: Send) -> None:
    body = b'{"message": "refused by a fault switch of the local stack"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
