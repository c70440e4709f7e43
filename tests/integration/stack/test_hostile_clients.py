"""Clients that are slow, silent, too loud or not speaking HTTP do not stop the others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import websockets

from local_stack.gateway import GatewayConfig
from local_stack.listener import MAX_FRAME_BYTES
from tests.support.stack_thread import StackThread

SLOW_CLIENTS = 200


@contextlib.asynccontextmanager
async def raw(stack: StackThread, data: bytes) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.stack.api_port)
    try:
        writer.write(data)
        await writer.drain()
        yield reader
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def others_are_served(stack: StackThread) -> AsyncIterator[None]:
    """After the test has done its worst, REST answers as before."""
    yield
    headers = {"apikey": stack.keys.secret}
    async with httpx.AsyncClient(base_url=stack.api_url, headers=headers, timeout=5) as http:
        answer = await http.get("/rest/v1/customers?select=id&limit=1")
    assert answer.status_code == 200
    assert len(answer.json()) == 1


async def test_requests_that_never_end_do_not_hold_up_others(stack: StackThread) -> None:
    """Two hundred half-sent requests stay open while another client is served."""
    async with contextlib.AsyncExitStack() as slow:
        for _ in range(SLOW_CLIENTS):
            await slow.enter_async_context(raw(stack, b"POST /rest/v1/x HTTP/1.1\r\nHost: a\r\nX-"))
        async with httpx.AsyncClient(base_url=stack.api_url, timeout=5) as http:
            assert (await http.get("/ready")).status_code == 200


@pytest.mark.usefixtures("others_are_served")
@pytest.mark.parametrize(
    "data", [b"\x00\xff\x16\x03\x01 garbage\r\n\r\n", b"\r\n" * 9 + b"HELLO\r\n\r\n"]
)
async def test_what_is_not_http_is_refused(stack: StackThread, data: bytes) -> None:
    """The answer is 400, or the connection is closed."""
    async with raw(stack, data) as reader:
        answer = await asyncio.wait_for(reader.read(), 10)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


@pytest.mark.usefixtures("others_are_served")
async def test_a_body_that_is_announced_too_long_is_refused(stack: StackThread) -> None:
    """Before any of it was sent."""
    length = GatewayConfig().max_body_bytes + 1
    head = f"POST /rest/v1/customers HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    async with raw(stack, head.encode()) as reader:
        assert b" 413 " in await asyncio.wait_for(reader.readline(), 10)


@pytest.mark.usefixtures("others_are_served")
async def test_a_frame_that_is_too_long_ends_its_socket_alone(stack: StackThread) -> None:
    """With code 1009; another socket goes on."""
    url = stack.api_url.replace("http", "ws", 1)
    url += f"/realtime/v1/websocket?apikey={stack.keys.anon}&vsn=1.0.0"
    beat = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"}
    async with websockets.connect(url) as loud, websockets.connect(url) as other:
        with contextlib.suppress(websockets.ConnectionClosed):
            await loud.send("x" * (MAX_FRAME_BYTES + 1))
        await asyncio.wait_for(loud.wait_closed(), 10)
        assert loud.close_code == 1009
        await other.send(json.dumps(beat))
        assert json.loads(await asyncio.wait_for(other.recv(), 10))["payload"]["status"] == "ok"


def test_nothing_listens_beyond_loopback(stack: StackThread) -> None:
    """Neither the API nor PostgreSQL, on no address of another machine's reach."""
    listening = Path("/proc/net/tcp")
    if not listening.exists():
        pytest.skip("needs /proc/net/tcp")
    ports = {stack.stack.api_port, stack.stack.database_port}
    loopback = socket.inet_aton("127.0.0.1")[::-1].hex().upper()
    found = set()
    for line in listening.read_text().splitlines()[1:]:
        address, port = line.split()[1].split(":")
        if line.split()[3] == "0A" and int(port, 16) in ports:
            found.add((int(port, 16), address))
    assert found == {(port, loopback) for port in ports}
