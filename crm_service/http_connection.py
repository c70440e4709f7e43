"""One HTTP/1.1 connection that carries one request at a time; parsed by ``httptools``."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import NamedTuple, cast

import httptools

# More than any gateway sends; endless ones must not fill the memory within the time-out.
_MAX_HEAD_BYTES = 64 * 1024
_FINAL = 200
_HEAD_END = b"\r\n\r\n"
# They say where a body ends.
_FRAMING = frozenset({"content-length", "transfer-encoding"})


class Answer(NamedTuple):
    """Status, the head as it came, and the whole body."""

    status: int
    head: bytes
    content: bytes

    @property
    def headers(self) -> Mapping[str, str]:
        """The last value of each header by lower-case name; read anew at each use."""
        return _Headers(self.head)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


class _Headers(dict[str, str]):
    """What the parser reads in a head; hints (1xx) may stand before it, and a body behind it.

    Few answers are asked for their headers: to be told of each costs more than to read again.
    """

    def __init__(self, head: bytes) -> None:
        super().__init__()
        self._is_whole = False
        self._parser = httptools.HttpResponseParser(self)
        with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._parser.feed_data(head)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_whole:
            self[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() >= _FINAL:
            self._is_whole = True
        else:
            self.clear()


class WireError(Exception):
    """There is no answer."""


class ConnectError(WireError):
    """No connection could be made; nothing was sent."""


class BrokenError(WireError):
    """The connection ended, or stopped making sense, before the answer was complete."""


class HttpConnection(asyncio.Protocol):
    """A connection; the parser calls its ``on_…`` methods.

    Whoever gives up waiting for an answer must ``abort`` it: the answer may still be under way.

    Attributes:
        idle_since: Time of the event loop, kept by the owner.
        is_usable: Open, and everything that came was the answer to the request before.
    """

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.is_usable = True
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._head = b""
        self._body: list[bytes] = []
        self._reading_body = False

    def send(self, request: bytes, timeout_s: float) -> asyncio.Future[Answer]:
        """Send a request and return what its answer is waited for with.

        The wait ends with ``BrokenError`` if there will be none, and with ``TimeoutError`` if there
        was none within ``timeout_s``.
        """
        assert self._transport is not None  # noqa: S101 - connected before anybody has it
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answer = answer
        self._wait_until(self._loop.time() + timeout_s)
        self._transport.write(request)
        return answer

    def abort(self) -> None:
        """Close at once."""
        self.is_usable = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._answer is None:
            # Nobody has asked: the next answer would not be the right one.
            self.abort()
            return
        if not self._reading_body:
            self._head += data
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break("not HTTP")
        if len(self._head) > _MAX_HEAD_BYTES and not self._reading_body:
            self._break("headers without end")

    def eof_received(self) -> None:
        """Take a body that has no length as complete."""
        if self._reading_body and _FRAMING.isdisjoint(_Headers(self._head)):
            self.on_message_complete()
        self.is_usable = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        self._break("closed by the server" if exc is None else type(exc).__name__)

    def on_message_begin(self) -> None:
        """Forget the answer before."""
        self._body = []
        self._reading_body = False
        if self._answer is None:
            # Two answers to one request: the next request must not get the second one.
            self._break("more than was asked")

    def on_headers_complete(self) -> None:
        """Go on with the body, whose beginning may have come with the head."""
        self._reading_body = True
        if len(self._head) > _MAX_HEAD_BYTES and self._head.find(_HEAD_END) > _MAX_HEAD_BYTES:
            self._break("headers without end")

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Give the answer to who waits; a provisional one (1xx) is none."""
        self._reading_body = False
        status = self._parser.get_status_code()
        answer = self._answer
        if status < _FINAL or answer is None or answer.done():
            return
        self._answer = None
        head, self._head = self._head, b""
        self.is_usable = self.is_usable and self._parser.should_keep_alive()
        answer.set_result(Answer(status, head, b"".join(self._body)))

    def _wait_until(self, due: float) -> None:
        """Give the answer up at that time of the event loop, unless it is there.

        Nearly all are: a timer that is set and cancelled for each costs more than one that looks,
        when it ends, how long there is to wait by then.
        """
        self._due = due
        if self._timer is not None and self._timer.when() > due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._timer = None
        if self._answer is None or self._answer.done():
            return
        if self._loop.time() < self._due:
            self._wait_until(self._due)
        else:
            self._answer.set_exception(TimeoutError())

    def _break(self, reason: str) -> None:
        self.abort()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BrokenError(reason))
