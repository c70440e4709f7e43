"""Uvicorn's HTTP protocol with limits on what a slow or hostile client may hold.

Uvicorn reads request heads of any length and waits for the rest of a request for ever. Here a head
has a largest size and a deadline, and a body must keep coming. Complete requests cost nothing:
timers exist only while something is missing. Pass the class to uvicorn as ``http``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from local_stack.joined_writes import JoinedWrites


class GuardedHttpProtocol(HttpToolsProtocol):
    """One HTTP connection whose peer cannot hold it without sending.

    Attributes:
        max_head_bytes: request line and headers; longer ones get 431 and the connection is closed.
        head_timeout_s: from the connection, or the first byte of a later request, to the end of
            its headers; then 408.
        body_idle_timeout_s: longest pause within a body; then 408. Pauses that the server makes
            itself, because the application reads slowly, do not count.
    """

    max_head_bytes = 65_536
    head_timeout_s = 10.0
    body_idle_timeout_s = 20.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Another uvicorn of this process may have given its access log to all of them; a query
        # may carry a key.
        self.access_log = False
        self._head_bytes = 0
        self._in_body = False
        self._handed_over = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request head from now on."""
        self._joined = JoinedWrites(transport, self.loop)
        super().connection_made(self._joined)
        self._arm(self.head_timeout_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, then decide how long the rest may take."""
        if not self._in_body:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._handed_over or self.transport.is_closing():
            self._disarm()
        elif self._in_body:
            self._disarm()
            self._arm(self.body_idle_timeout_s, self._check_body)
        elif self._head_bytes > self.max_head_bytes:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"The request line and headers are longer than {self.max_head_bytes} bytes",
            )
        elif self._head_bytes:
            if self._timer is None:
                self._arm(self.head_timeout_s, self._give_up)
        else:
            self._disarm()

    def on_headers_complete(self) -> None:
        """Note that a body may follow."""
        self._head_bytes = 0
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the next bytes are another request's."""
        self._in_body = False
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to the WebSocket protocol."""
        self._handed_over = True
        self._disarm()
        self.transport = self._joined.release()
        super().handle_websocket_upgrade()

    def _arm(self, delay_s: float, work: Callable[[], None]) -> None:
        self._timer = self.loop.call_later(delay_s, work)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_body(self) -> None:
        if self.flow.read_paused:
            self._arm(self.body_idle_timeout_s, self._check_body)
        else:
            self._give_up()

    def _give_up(self) -> None:
        self._timer = None
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The rest of the request did not come in time")

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer unless an answer is already under way, and close."""
        self._disarm()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps({"message": message}).encode()
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
