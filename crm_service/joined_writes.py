"""Uvicorn's protocol, except that a whole answer leaves in one piece and its head is made quickly.

Uvicorn writes head and body one by one, and with Nagle's algorithm off each is a segment of its
own: two system calls here, and a caller who is woken twice for one answer. And it looks through
each name and value of the head for characters that break out of their line; here names are looked
through once, and what stands between them together.
"""

import asyncio
from operator import add
from typing import Any

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

# They say how the connection goes on, which is uvicorn's to decide.
_OF_CONNECTIONS = frozenset({b"connection", b"transfer-encoding"})
# Those that uvicorn refuses in values.
_CONTROLS = bytes({*range(32), 127} - {*b"\t"})
_MAX_NAMES = 1_000


class _Beginnings(dict[bytes, bytes]):
    """The beginning of a line by the header's name; empty where uvicorn has to look at it."""

    def __missing__(self, name: bytes) -> bytes:
        lower = name.lower()
        fits = lower not in _OF_CONNECTIONS and not HEADER_RE.search(name)
        beginning = lower + b": " if fits else b""
        if len(self) < _MAX_NAMES:
            self[name] = beginning
        return beginning


_BEGINNINGS = _Beginnings()


class _WholeAnswer:
    """An answer on its way to uvicorn; a head that tells its body's length waits for the body.

    Args:
        cycle: Uvicorn's own part; it sends whatever is not a whole answer.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._head: Message | None = None
        self._body_bytes = b""

    async def send(self, message: Message) -> None:
        """Take a message of the application."""
        head = self._head
        if head is not None:
            self._head = None
            if self._leaves_whole(head, message):
                return
            await self._cycle.send(head)  # type: ignore[arg-type]
        elif message["type"] == "http.response.start":
            for name, value in message["headers"]:
                if name == b"content-length":
                    self._head, self._body_bytes = message, value
                    return
        await self._cycle.send(message)  # type: ignore[arg-type]

    def _leaves_whole(self, start: Message, message: Message) -> bool:
        """Send the answer if nothing is special about it, neither here nor in uvicorn."""
        cycle = self._cycle
        if message["type"] != "http.response.body" or message.get("more_body", False):
            return False
        if not cycle.keep_alive or cycle.access_log:
            return False
        if cycle.disconnected or cycle.response_started or cycle.flow.write_paused:
            return False
        body = message.get("body", b"")
        if cycle.scope["method"] == "HEAD":
            body = b""
            if not self._body_bytes.isdigit():
                return False
        elif b"%d" % len(body) != self._body_bytes:
            return False
        head = _render_head(start["status"], [*cycle.default_headers, *start["headers"]])
        if head is None:
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write(head + body)
        cycle.message_event.set()
        cycle.on_response()
        return True


def _render_head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """Return status line and headers; None if uvicorn has to look at them."""
    names, values = zip(*headers, strict=True)
    beginnings = [*map(_BEGINNINGS.__getitem__, names)]
    text = b"".join(values)
    if b"" in beginnings or len(text.translate(None, _CONTROLS)) != len(text):
        return None
    return STATUS_LINE[status] + b"\r\n".join([*map(add, beginnings, values), b"", b""])


class JoinedWritesProtocol(HttpToolsProtocol):
    """What ``uvicorn.Config`` takes as ``http``."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        answer = _WholeAnswer(cycle)
        run = cycle.run_asgi(lambda scope, receive, _send: app(scope, receive, answer.send))
        # As uvicorn does it; without a name, asyncio would print one for each.
        task = asyncio.Task(run, loop=self.loop, name="request")
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)


__all__ = ["JoinedWritesProtocol"]
