"""The answer of one request on its way through the gateway, and the limit on request bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from starlette.types import Message, Receive, Send

Headers: TypeAlias = list[tuple[bytes, bytes]]
Refusal: TypeAlias = tuple[int, dict[str, Any]]

_EXPOSED_HEADERS = (
    b"Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Link, Location, "
    b"Proxy-Status, Server-Timing, X-Request-Id, X-Supabase-Api-Version, X-Total-Count"
)


class GatewayResponse:
    """The ``send`` of one request, which adds the gateway's headers to the answer."""

    def __init__(self, send: Send, request_id: bytes, *, cross_origin: bool) -> None:
        self._send = send
        self._request_id = request_id
        self._cross_origin = cross_origin
        self.started = False
        self.cut = False

    async def __call__(self, message: Message) -> None:
        """Send a message of the server behind, with the gateway's headers on the first one."""
        if self.cut:
            return
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] = self._complete(list(message.get("headers", ())))
        await self._send(message)

    def _complete(self, headers: Headers) -> Headers:
        present = {name.lower() for name, _ in headers}
        added = [(b"x-request-id", self._request_id)]
        if self._cross_origin:
            added.append((b"access-control-allow-origin", b"*"))
            added.append((b"access-control-expose-headers", _EXPOSED_HEADERS))
        return headers + [pair for pair in added if pair[0] not in present]

    async def send_whole(self, status: int, body: bytes, headers: Headers) -> None:
        """Send an answer of the gateway's own."""
        length = (b"content-length", str(len(body)).encode())
        await self({
            "type": "http.response.start", "status": status, "headers": [*headers, length],
        })  # fmt: skip
        await self({"type": "http.response.body", "body": body})

    async def send_json(self, status: int, body: Mapping[str, Any]) -> None:
        """Send a JSON answer of the gateway's own."""
        text = json.dumps(body).encode()
        await self.send_whole(status, text, [(b"content-type", b"application/json")])

    async def cut_off(self, status: int, body: Mapping[str, Any]) -> None:
        """Refuse while a server behind is at work; whatever that one still says is dropped."""
        await self.refuse(status, body)
        self.cut = True

    async def refuse(self, status: int, body: Mapping[str, Any]) -> None:
        """Send a refusal with the request's id; does nothing once an answer has begun."""
        if not self.started:
            request_id = self._request_id.decode("latin-1")
            await self.send_json(status, {**body, "request_id": request_id})


def limited(receive: Receive, response: GatewayResponse, max_bytes: int) -> Receive:
    """Count a body that comes without a declared length; past the limit the sender has gone."""
    received = 0

    async def count() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            await response.cut_off(413, too_long(max_bytes))
            return {"type": "http.disconnect"}
        return message

    return count


def too_long(max_bytes: int) -> dict[str, Any]:
    """Return what a request with too long a body is told."""
    return {
        "message": f"The request body is longer than {max_bytes} bytes",
        "hint": "Send the rows in several requests.",
    }
