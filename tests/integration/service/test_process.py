"""`python -m crm_service` as a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest


@asynccontextmanager
async def serving(stack, **more: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A running service and its address."""
    environment = {**os.environ, **stack.env(), "CRM_PORT": "0", **more}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "crm_service", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        line = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        assert "listens on http://127.0.0.1:" in line, line
        yield process, line.split()[3]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_as_soon_as_it_names_its_address_and_stops_when_told(stack, how):
    """Ready at once with nothing but the variables of the stack; both signals are a clean end."""
    async with serving(stack) as (process, url):
        async with httpx.AsyncClient(trust_env=False) as client:
            response = await client.get(f"{url}/ready", timeout=30)
        assert response.json() == {"status": "ready"}
        process.send_signal(how)
        _, log = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
        assert b"Traceback" not in log


async def test_a_taken_port_is_told_in_one_line(stack):
    """Exit code 3 and what to do; the first service goes on."""
    async with serving(stack) as (first, url):
        environment = {**os.environ, **stack.env(), "CRM_PORT": url.rsplit(":", 1)[1]}
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "crm_service", env=environment, stderr=asyncio.subprocess.PIPE
        )
        _, log = await asyncio.wait_for(second.communicate(), 30)
        assert second.returncode == 3
        assert "CRM_PORT" in log.decode()
        assert log.count(b"\n") == 1
        assert first.returncode is None


def send_without_reading(url: str, times: int) -> socket.socket:
    """Ask for the same document many times over on one connection, and take nothing."""
    host, port = url.removeprefix("http://").split(":")
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.settimeout(3)
    caller.connect((host, int(port)))
    caller.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * times)
    return caller


def read_all(caller: socket.socket) -> None:
    """Read until nothing more comes."""
    with contextlib.suppress(TimeoutError):
        while caller.recv(1_000_000):
            pass


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels have no such limit")
async def test_who_does_not_read_the_answer_is_left(stack):
    """A connection whose answers nobody takes is given up; others are served all the while."""
    async with serving(stack, CRM_BODY_PAUSE_S="1") as (_, url):
        with send_without_reading(url, times=100) as caller:
            async with httpx.AsyncClient(trust_env=False) as client:
                for _ in range(8):
                    await asyncio.sleep(1)
                    assert (await client.get(f"{url}/live")).status_code == 200
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(read_all, caller)


async def exchange(url: str, *pieces: bytes) -> bytes:
    """Send bytes, and return all that comes until the service closes the connection."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.05)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def test_refusals_of_the_connection_are_as_protected_and_counted_as_others(stack):
    """What is no HTTP, and a head without end: the headers of every answer, and a number."""
    headers = (
        b"x-content-type-options",
        b"content-security-policy",
        b"strict-transport-security",
        b"x-request-id",
    )
    async with serving(stack, CRM_ENVIRONMENT="production") as (_, url):
        for pieces, status in (
            ([b"no http\r\n\r\n"], 400),
            ([b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"a" * 40_000, b"a" * 30_000], 431),
        ):
            head, _, body = (await exchange(url, *pieces)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert [name for name in headers if b"\r\n%b: " % name not in head] == []
            assert body
        async with httpx.AsyncClient(trust_env=False) as client:
            metrics = (await client.get(f"{url}/metrics")).text
    assert 'crm_problems_total{code="bad-request"} 1.0' in metrics
    assert 'crm_problems_total{code="head-too-large"} 1.0' in metrics


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
async def test_a_wish_for_another_protocol_is_passed_over(stack, protocol):
    """The request is answered as any other; there is nothing to upgrade to."""
    upgrade = b"Connection: Upgrade, close\r\nUpgrade: " + protocol + b"\r\n"
    key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    async with serving(stack) as (_, url):
        for path, status in ((b"/live", b"200"), (b"/v1/me", b"401")):
            request = b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + upgrade + key + b"\r\n"
            answer = await exchange(url, request)
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert b"x-content-type-options: nosniff" in answer
