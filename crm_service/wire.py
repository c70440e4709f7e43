"""HTTP to one server over ``aiohttp``; nothing is interpreted (docs/decisions/0009).

No cookies are kept, no redirects followed, no proxy or netrc of the environment used: whatever a
request carries, its caller gave it.
"""

import io
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import httpx
from yarl import URL

# From here on aiohttp wants a file, which it sends piece by piece.
_MAX_WHOLE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (looked up in any case), and the whole body."""

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
            headers: Without ``Host`` and ``Content-Length``; no line breaks.
            content: Body.

        Raises:
            ConnectError: Nothing was sent.
            BrokenError: What was sent may have taken effect.
            ValueError: A header would break out of its line; nothing was sent.

        Cancellation:
            Ends the wait; what was sent may have taken effect.
        """
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


class PooledWire:
    """A ``Wire`` of kept connections; made in the event loop that uses it.

    How many there are at once, and how long an answer may take, is up to the caller. A ``GET`` is
    sent once more when its connection breaks.

    Args:
        origin: ``http://host:port`` or ``https://host``.
        keepalive_s: Idle time after which a connection is not used again.
        tls: Says which servers are trusted; None for the authorities of the system.
    """

    def __init__(self, origin: str, *, keepalive_s: float, tls: ssl.SSLContext | None) -> None:
        self._origin = origin
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=keepalive_s, ssl=tls or True),
            request_class=_Request,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            skip_auto_headers=["User-Agent"],
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def exchange(
        self, method: str, target: str, headers: Mapping[str, str], content: bytes | None
    ) -> Answer:
        """Send a request and return its answer; see ``Wire.exchange``."""
        data: bytes | io.BytesIO | None = content
        if content is not None and len(content) > _MAX_WHOLE_BYTES:
            data = io.BytesIO(content)
        try:
            async with self._session.request(
                method,
                URL(self._origin + target, encoded=True),
                headers=headers,
                data=data,
                allow_redirects=False,
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        # Not "from error": aiohttp quotes the URL and the answer, which hold data of people.
        except (aiohttp.ClientConnectorError, _UnaskedError) as error:
            raise ConnectError(type(error).__name__) from None
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenError(type(error).__name__) from None

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._session.close()


class _UnaskedError(aiohttp.ServerDisconnectedError):
    """A kept connection said something that nobody had asked; nothing was sent on it."""


class _Request(aiohttp.ClientRequest):
    """A request that refuses a connection with an answer to somebody else's request on it.

    The pool looks whether a kept connection is open, not whether it was silent.
    """

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        if conn.protocol is None or conn.protocol.should_close:
            raise _UnaskedError
        return await super().send(conn)


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
