"""A network that is swapped leaves idle connections that lead nowhere: one of them is enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from portal_sdk._runtime.http import HttpRequest
from portal_sdk._runtime.http_pool import PooledHttp
from tests.faults.proxy import FaultProxy

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"
AT_ONCE = 5
TIMEOUT_S = 0.3


@pytest.fixture
async def server_url() -> AsyncIterator[str]:
    """A server that answers every request after a moment."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(0.02)  # so that requests at once need a connection each
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def ask(http: PooledHttp) -> Any:
    async with asyncio.timeout(TIMEOUT_S):
        return await http.send(HttpRequest("GET", "/x"))


async def test_one_unanswered_request_is_the_end_of_every_idle_connection(server_url: str) -> None:
    """Otherwise each of them costs a time-out, one after the other."""
    async with FaultProxy(server_url) as proxy:
        first, second = (PooledHttp(proxy.url, "key", timeout_s=1) for _ in range(2))
        await asyncio.gather(*(ask(first) for _ in range(AT_ONCE)))
        assert proxy.opened_count == AT_ONCE
        proxy.strand_all()
        with pytest.raises(TimeoutError):
            await ask(first)
        assert (await ask(first)).status == (await ask(second)).status == 200
        assert proxy.opened_count == AT_ONCE + 1
        await first.close()
        await second.close()


async def test_requests_under_way_are_left_alone(server_url: str) -> None:
    """Somebody else's time-out does not cost an answer that is on its way."""
    async with FaultProxy(server_url) as proxy:
        http = PooledHttp(proxy.url, "key", timeout_s=1)
        slow = asyncio.create_task(http.send(HttpRequest("GET", "/slow")))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await http.send(HttpRequest("GET", "/given-up"))
        assert (await slow).status == 200
        await http.close()
