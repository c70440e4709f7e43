"""HTTP over aiohttp: one pool of connections for all portals of an event loop.

A request costs a fifth of the processor time that httpx needs (docs/decisions/0007), and a portal
costs no pool of its own. No cookies are kept, no redirects followed, no netrc read: whatever a
request carries, its portal gave it.
"""

from __future__ import annotations

import asyncio
import urllib.request
import weakref
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from portal_sdk._runtime.http import HttpAnswer, HttpRequest
from portal_sdk.errors import (
    ConnectError,
    ConnectionLostError,
    PortalClosedError,
    ProtocolError,
    RequestTimeoutError,
    TransportError,
)

KEEPALIVE_S = 60.0
PATIENCE_S = 0.25
"""A request that is given up earlier says nothing about the network: its portal was closed."""
AGENT = "portal-sdk-py"


class _SharedSession:
    """The session of one event loop, for as long as any portal uses it.

    After a request that was not answered no idle connection is used again: when a network is
    swapped, all of them lead nowhere, and each would cost a time-out of its own.
    """

    def __init__(self) -> None:
        self.user_count = 0
        self._session: aiohttp.ClientSession | None = None
        self._request_counts: dict[aiohttp.ClientSession, int] = {}

    async def exchange(self, method: str, url: URL, **options: Any) -> HttpAnswer:
        """Send one request, read the whole answer, and look at how it ends."""
        session = self._get()
        clock = asyncio.get_running_loop().time
        began = clock()
        counts = self._request_counts
        counts[session] = counts.get(session, 0) + 1
        try:
            return await _read_answer(await session.request(method, url, **options))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise  # nobody was reached: it says nothing about connections that are open
        except (aiohttp.ClientError, OSError):
            self._drop(session)
            raise
        except asyncio.CancelledError:
            if clock() - began >= PATIENCE_S:
                self._drop(session)
            raise
        finally:
            counts[session] -= 1
            if counts[session] == 0:
                del counts[session]
                if self._session is not session:
                    await session.close()

    def _drop(self, session: aiohttp.ClientSession) -> None:
        """Use it for no new request; those under way still end on it."""
        if self._session is session:
            self._session = None

    def _get(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # No limit: a portal has few requests under way, and must not wait for others.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                raise_for_status=False,
            )
        return self._session

    async def release(self) -> None:
        self.user_count -= 1
        if self.user_count == 0 and self._session is not None:
            session, self._session = self._session, None
            await session.close()


_sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _SharedSession] = (
    weakref.WeakKeyDictionary()
)


class PooledHttp:
    """Sends the requests of one portal; made and closed in its event loop.

    Args:
        base_url: The project URL.
        api_key: Sent with every request.
        timeout_s: For connecting. How long the answer may take is the caller's affair.
    """

    __slots__ = ("_base_url", "_headers", "_proxy", "_shared", "_timeout")

    def __init__(self, base_url: str, api_key: str, *, timeout_s: float) -> None:
        self._base_url = base_url
        self._headers = {
            "apikey": api_key, "X-Client-Info": AGENT, "User-Agent": AGENT,
            "Accept": "application/json",
        }  # fmt: skip
        self._proxy = _proxy_for(base_url)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s)
        loop = asyncio.get_running_loop()
        self._shared: _SharedSession | None = _sessions.setdefault(loop, _SharedSession())
        self._shared.user_count += 1

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Send a request and return the whole answer, whatever its status.

        Raises:
            TransportError: There was none.
        """
        if self._shared is None:
            raise PortalClosedError("The portal is closed")
        try:
            return await self._shared.exchange(
                request.method, URL(self._base_url + request.target, encoded=True),
                data=request.content or None, headers={**self._headers, **request.headers},
                timeout=self._timeout, allow_redirects=False, proxy=self._proxy,
            )  # fmt: skip
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._network_error(error) from error
        except ValueError as error:
            raise ProtocolError(f"The request to {self._base_url} could not be built") from error

    async def close(self) -> None:
        """Let go of the pool; the last portal of the loop closes it."""
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.release()

    def _network_error(self, error: Exception) -> TransportError | ProtocolError:
        if isinstance(error, aiohttp.InvalidURL):
            return ProtocolError(f"The request to {self._base_url} could not be built")
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return ConnectError(
                f"No Supabase project answers at {self._base_url}: is it running (portalctl up, or"
                " supabase start) and is the URL right?",
                url=self._base_url,
            )
        if isinstance(error, TimeoutError):
            return RequestTimeoutError(f"{self._base_url} did not answer in time")
        return ConnectionLostError(f"The connection to {self._base_url} broke during a request")


async def _read_answer(response: aiohttp.ClientResponse) -> HttpAnswer:
    """Return the whole answer; its connection goes back to the pool with the last byte."""
    try:
        stream = response.content
        if stream.is_eof():  # a small answer comes in one piece
            return HttpAnswer(response.status, response.headers, stream.read_nowait())
        content = bytearray()  # to join 40 MB at the end would take 40 ms at once
        async for piece in stream.iter_any():
            content += piece
        return HttpAnswer(response.status, response.headers, content)
    except BaseException:
        response.close()
        raise


def _proxy_for(base_url: str) -> str | None:
    """Return the proxy that the environment names for this project, as other clients do."""
    parts = urlsplit(base_url)
    proxies = urllib.request.getproxies()
    if not proxies or urllib.request.proxy_bypass(parts.netloc):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")
