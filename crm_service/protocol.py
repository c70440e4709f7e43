"""How connections are read: heads that come in time and within bounds, refusals that are problems.

Uvicorn waits for the head of a request for ever, and lets it grow without end.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from crm_service.joined_writes import JoinedWritesProtocol
from crm_service.metrics import Metrics
from crm_service.problems import PROBLEM_HEADER, framework_problem
from crm_service.protection import SecurityHeaders
from crm_service.request_context import choose_request_id

# Proxies allow 8 to 64 KiB. What one read of the socket brings counts as a whole, as it comes.
_MAX_HEAD_BYTES = 65_536


class ServiceProtocol(JoinedWritesProtocol):
    """What ``uvicorn.Config`` takes as ``http``, once the named arguments are given.

    Args:
        head_s: Longest wait for the head of a request, in seconds, from the connection or from its
            first byte on; then the connection is closed.
        protection: Headers of every answer.
        metrics: Where refusals are counted.
    """

    def __init__(
        self,
        *args: Any,
        head_s: float,
        protection: SecurityHeaders,
        metrics: Metrics,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._head_s = head_s
        self._protection = protection
        self._metrics = metrics
        self._head_is_whole = False
        self._head_bytes = 0
        self._giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in a piece; most bring a whole head and cost nothing more here."""
        super().data_received(data)
        if self._head_is_whole:
            if self._giving_up is not None:
                self._stop_waiting()
            return
        self._head_bytes += len(data)
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._refuse(431)
        elif self._giving_up is None:
            self._wait()

    def on_message_begin(self) -> None:
        """Begin with a head."""
        self._head_is_whole = False
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End with a head."""
        self._head_is_whole = True
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours is a problem document
        """Refuse what is no HTTP."""
        self._refuse(400)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a wish for another protocol is passed over (RFC 9110, 7.8)."""

    def _wait(self) -> None:
        self._giving_up = self.loop.call_later(self._head_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def _give_up(self) -> None:
        self._giving_up = None
        if self.cycle is not None and not self.cycle.response_complete:
            # The head of a further request, behind one that is being answered.
            self._wait()
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int) -> None:
        self._stop_waiting()
        if self.transport.is_closing():
            return
        request_id = choose_request_id(None)
        answer = framework_problem(status, request_id, {"X-Request-Id": request_id})
        self._metrics.problem(answer.headers[PROBLEM_HEADER])
        protection = self._protection.headers("", ())
        head = [*answer.raw_headers, *protection, (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % line for line in head)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + bytes(answer.body))
        self.transport.close()


__all__ = ["ServiceProtocol"]
