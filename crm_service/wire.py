"""HTTP/1.1 to one server: one request at a time on each kept connection; nothing is interpreted.

A general HTTP client costs several times what the call itself costs (docs/decisions). The parser is
``httptools``, which the server side uses, too.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools
import httpx

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers by lower-case name, and the whole body."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


class WireError(Exception):
    """There is no answer."""


class ConnectError(WireError):
    """No connection could be made; nothing was sent."""


class BrokenError(WireError):
    """The connection ended, or stopped making sense, before the answer was complete."""


class Wire(Protocol):
    """The way to one server."""

    async def exchange(
        self, method: str, target: str, headers: Mapping[str, str], content: bytes | None
    ) -> Answer:
        """Send a request and return its answer, whatever its status.

        Args:
            method: HTTP method.
            target: Path and query.
            headers: Without ``Host`` and ``Content-Length``.
            content: Body.

        Raises:
            ConnectError: Nothing was sent.
            BrokenError: What was sent may have taken effect.

        Cancellation:
            Ends the wait; what was sent may have taken effect.
        """
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


class SocketWire:
    """A ``Wire`` of TCP or TLS connections; the last one used is used first.

    How many there are at once is up to the caller.

    Args:
        origin: ``http://host:port`` or ``https://host``.
        keepalive_s: Idle time after which a connection is not used again.
        tls: Needed for ``https``.
    """

    def __init__(self, origin: str, *, keepalive_s: float, tls: ssl.SSLContext | None) -> None:
        parts = urlsplit(origin)
        self._host = parts.hostname or ""
        self._port = parts.port or _DEFAULT_PORTS[parts.scheme]
        self._tls = tls if parts.scheme == "https" else None
        self._host_line = f"Host: {parts.netloc.rpartition('@')[2]}\r\n"
        self._keepalive_s = keepalive_s
        self._idle: deque[_Connection] = deque()

    async def exchange(
        self, method: str, target: str, headers: Mapping[str, str], content: bytes | None
    ) -> Answer:
        """Send a request and return its answer; see ``Wire.exchange``."""
        head = render_head(method, target, self._host_line, headers, content)
        connection = self._kept() or await self._connect()
        try:
            answer = await connection.exchange(head if content is None else head + content)
        except BaseException:
            # An answer may still be under way: the next request must not get it.
            connection.abort()
            raise
        if connection.is_reusable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()
        return answer

    async def aclose(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().abort()

    def _kept(self) -> "_Connection | None":
        oldest = asyncio.get_running_loop().time() - self._keepalive_s
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.popleft().abort()
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_lost:
                return connection
        return None

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                _Connection, self._host, self._port, ssl=self._tls
            )
        except OSError as error:
            raise ConnectError(type(error).__name__) from error
        return connection


def render_head(
    method: str, target: str, host_line: str, headers: Mapping[str, str], content: bytes | None
) -> bytes:
    """Return request line and headers.

    Raises:
        ValueError: A header would break out of its line.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError("a header contains a line break")
    if content is not None:
        lines += f"Content-Length: {len(content)}\r\n"
    return f"{method} {target} HTTP/1.1\r\n{host_line}{lines}\r\n".encode("latin-1")


class TransportWire:
    """A ``Wire`` over a transport of ``httpx``, for tests of a failing server.

    Args:
        transport: Answers the requests; not closed here.
        origin: See ``SocketWire``.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, origin: str) -> None:
        self._transport = transport
        self._origin = origin

    async def exchange(
        self, method: str, target: str, headers: Mapping[str, str], content: bytes | None
    ) -> Answer:
        """Send a request and return its answer; see ``Wire.exchange``."""
        request = httpx.Request(method, self._origin + target, headers=headers, content=content)
        try:
            response = await self._transport.handle_async_request(request)
            body = await response.aread()
        except httpx.TimeoutException as error:
            raise TimeoutError from error
        except httpx.ConnectError as error:
            raise ConnectError(type(error).__name__) from error
        except httpx.HTTPError as error:
            raise BrokenError(type(error).__name__) from error
        return Answer(response.status_code, response.headers, body)

    async def aclose(self) -> None:
        """Close nothing."""


class _Connection(asyncio.Protocol):
    """One connection; the parser calls its ``on_…`` methods."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.is_lost = False
        self.is_reusable = False
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._reading_body = False

    async def exchange(self, request: bytes) -> Answer:
        assert self._transport is not None  # noqa: S101 - connected before anybody has it
        self.is_reusable = False
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer = None

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            # Nobody has asked: whatever it is, the next answer would not be the right one.
            self._lose("unexpected bytes")
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._lose("not HTTP")
            self.abort()

    def eof_received(self) -> None:
        framed = "content-length" in self._headers or "transfer-encoding" in self._headers
        if self._reading_body and not framed:
            # A body without a length ends with the connection.
            self.on_message_complete()
            self.is_reusable = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose("closed by the server" if exc is None else type(exc).__name__)

    def on_message_begin(self) -> None:
        if self._answer is not None and self._answer.done():
            # Two answers to one request: the next request must not get the second one.
            self._lose("unexpected bytes")
        self._headers = {}
        self._body = []
        self._reading_body = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._reading_body = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 or self._answer is None or self._answer.done():
            return
        self._reading_body = False
        self.is_reusable = self._parser.should_keep_alive() and not self.is_lost
        self._answer.set_result(Answer(status, self._headers, b"".join(self._body)))

    def _lose(self, reason: str) -> None:
        self.is_lost = True
        self.is_reusable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BrokenError(reason))
