"""HTTP to one server over kept connections; nothing is interpreted (docs/decisions/0015).

No cookies are kept, no redirects followed, no encoding undone, no proxy or netrc of the environment
used: whatever a request carries, its caller gave it.
"""

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from crm_service.http_connection import (
    Answer,
    BrokenError,
    ConnectError,
    HttpConnection,
    WireError,
)

# RFC 9112, 3.2: no spaces, no line breaks; what else is not allowed, the server refuses.
_TARGET = re.compile(r"[!-~]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class HeaderLines:
    """Headers of many requests, looked at and printed once.

    Args:
        fields: Them, without ``Host`` and ``Content-Length``.

    Raises:
        ValueError: One would break out of its line.
    """

    __slots__ = ("fields", "text")

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = fields
        self.text = _render_lines(fields)


def _render_lines(fields: Mapping[str, str]) -> str:
    text = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
    if text.count("\n") != len(fields) or text.count("\r") != len(fields):
        raise ValueError("a header contains a line break")
    return text


_NONE = HeaderLines({})


class Wire(Protocol):
    """The way to one server."""

    async def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes | None,
        timeout_s: float,
        lasting: HeaderLines = _NONE,
    ) -> Answer:
        """Send a request once and return its answer, whatever its status.

        Args:
            method: HTTP method.
            target: Path and query.
            headers: Without ``Host`` and ``Content-Length``; no line breaks.
            content: Body.
            timeout_s: Longest wait, connecting included.
            lasting: Further headers, the same for many requests.

        Raises:
            ConnectError: No connection could be made; nothing was sent.
            BrokenError: What was sent may have taken effect.
            TimeoutError: What was sent, if anything, may have taken effect.
            ValueError: Target or a header would break out of its line; nothing was sent.

        Cancellation:
            Ends the wait; what was sent may have taken effect.
        """
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


class PooledWire:
    """A ``Wire`` of TCP or TLS connections; the one used last is used first.

    How many there are at once is up to the caller. It belongs to the event loop it is made in.

    Args:
        origin: ``http://host:port`` or ``https://host``.
        keepalive_s: Idle time after which a connection is not used again.
        tls: Says which servers are trusted; needed for ``https``.

    Raises:
        ValueError: ``https`` without ``tls``, or neither scheme.
    """

    def __init__(self, origin: str, *, keepalive_s: float, tls: ssl.SSLContext | None) -> None:
        parts = urlsplit(origin)
        if parts.scheme not in _DEFAULT_PORTS or (parts.scheme == "https" and tls is None):
            raise ValueError("the origin must be http://…, or https://… with a TLS context")
        self._host = parts.hostname or ""
        self._port = parts.port or _DEFAULT_PORTS[parts.scheme]
        self._tls = tls if parts.scheme == "https" else None
        self._host_line = f"Host: {parts.netloc.rpartition('@')[2]}\r\n"
        self._keepalive_s = keepalive_s
        self._loop = asyncio.get_running_loop()
        self._idle: deque[HttpConnection] = deque()

    async def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes | None,
        timeout_s: float,
        lasting: HeaderLines = _NONE,
    ) -> Answer:
        """Send a request and return its answer; see ``Wire.exchange``."""
        request = render_head(method, target, self._host_line + lasting.text, headers, content)
        if content is not None:
            request += content
        loop = self._loop
        connection = self._kept(loop.time())
        if connection is None:
            until = loop.time() + timeout_s
            connection = await self._connect(timeout_s)
            timeout_s = until - loop.time()
        try:
            answer = await connection.send(request, timeout_s)
        except BaseException:
            # An answer may still be under way: the next request must not get it.
            connection.abort()
            raise
        if connection.is_usable:
            connection.idle_since = loop.time()
            self._idle.append(connection)
        else:
            connection.abort()
        return answer

    async def aclose(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().abort()

    def _kept(self, now: float) -> HttpConnection | None:
        idle = self._idle
        while idle and idle[0].idle_since < now - self._keepalive_s:
            idle.popleft().abort()
        while idle:
            connection = idle.pop()
            if connection.is_usable:
                return connection
        return None

    async def _connect(self, timeout_s: float) -> HttpConnection:
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await self._loop.create_connection(
                    HttpConnection, self._host, self._port, ssl=self._tls
                )
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectError(type(error).__name__) from None
        return connection


def render_head(
    method: str, target: str, before: str, headers: Mapping[str, str], content: bytes | None
) -> bytes:
    """Return request line and headers; ``before`` are lines that stand before the others.

    Raises:
        ValueError: The target or a header would break out of its line.
    """
    if not _TARGET.fullmatch(target):
        raise ValueError("the target is not percent-encoded")
    lines = _render_lines(headers)
    if content is not None:
        lines += f"Content-Length: {len(content)}\r\n"
    return f"{method} {target} HTTP/1.1\r\n{before}{lines}\r\n".encode("latin-1")


class TransportWire:
    """A ``Wire`` over a transport of ``httpx``, for tests of a failing server.

    Args:
        transport: Answers the requests; not closed here.
        origin: See ``PooledWire``.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, origin: str) -> None:
        self._transport = transport
        self._origin = origin

    async def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes | None,
        timeout_s: float,
        lasting: HeaderLines = _NONE,
    ) -> Answer:
        """Send a request and return its answer; see ``Wire.exchange``."""
        given = {**lasting.fields, **headers}
        request = httpx.Request(method, self._origin + target, headers=given, content=content)
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._transport.handle_async_request(request)
                body = await response.aread()
        except httpx.TimeoutException as error:
            raise TimeoutError from error
        except httpx.ConnectError as error:
            raise ConnectError(type(error).__name__) from error
        except httpx.HTTPError as error:
            raise BrokenError(type(error).__name__) from error
        head = b"".join([b"%b: %b\r\n" % header for header in response.headers.raw])
        return Answer(response.status_code, b"HTTP/1.1 200 OK\r\n" + head + b"\r\n", body)

    async def aclose(self) -> None:
        """Close nothing."""


__all__ = [
    "Answer",
    "BrokenError",
    "ConnectError",
    "HeaderLines",
    "PooledWire",
    "TransportWire",
    "Wire",
    "WireError",
]
