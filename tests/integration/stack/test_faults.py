"""Every fault switch does what it says, on a real stack, and stops doing it when it is off."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator

import asyncpg
import httpx
import pytest
import websockets

from tests.support.stack_thread import StackThread
from tests.support.waiting import eventually, never

NOTHING_COMES_S = 0.4


@pytest.fixture
def faulty(stack: StackThread) -> Iterator[StackThread]:
    """The shared stack, its faults switched off afterwards."""
    yield stack
    stack.faults.reset()


@pytest.fixture
async def http(faulty: StackThread) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the publishable key."""
    headers = {"apikey": faulty.keys.publishable}
    async with httpx.AsyncClient(base_url=faulty.api_url, headers=headers, timeout=20) as client:
        yield client


@contextlib.asynccontextmanager
async def socket_of(stack: StackThread) -> AsyncIterator[websockets.ClientConnection]:
    url = stack.api_url.replace("http", "ws", 1)
    url += f"/realtime/v1/websocket?apikey={stack.keys.anon}&vsn=1.0.0"
    async with websockets.connect(url) as socket:
        yield socket


async def push(socket: websockets.ClientConnection, event: str, topic: str = "phoenix") -> None:
    frame = {"topic": topic, "event": event, "payload": {}, "ref": "7", "join_ref": "7"}
    await socket.send(json.dumps(frame))


async def reply(socket: websockets.ClientConnection) -> dict[str, object]:
    async for text in socket:
        frame = json.loads(text)
        if frame["event"] == "phx_reply":
            return frame["payload"]
    raise AssertionError("the socket was closed")


@pytest.mark.parametrize("path", ["/rest/v1/customers", "/auth/v1/settings"])
async def test_http_refuse_answers_with_that_status(
    faulty: StackThread, http: httpx.AsyncClient, path: str
) -> None:
    """REST and Auth refuse; the health checks do not."""
    faulty.faults.http_refuse = 503
    assert (await http.get(path)).status_code == 503
    assert (await http.get("/ready")).status_code == 200
    faulty.faults.http_refuse = None
    assert (await http.get("/auth/v1/settings")).status_code == 200


async def test_http_delay_waits_before_the_request_is_handled(
    faulty: StackThread, http: httpx.AsyncClient
) -> None:
    """Never shorter than it says."""
    faulty.faults.http_delay_s = 0.3
    started = time.monotonic()
    assert (await http.get("/auth/v1/settings")).status_code == 200
    assert time.monotonic() - started >= 0.3


async def test_http_hang_holds_requests_until_it_is_off(
    faulty: StackThread, http: httpx.AsyncClient
) -> None:
    """A request that hangs is answered once the switch is off."""
    faulty.faults.http_hang = True
    request = asyncio.create_task(http.get("/auth/v1/settings"))
    await never(request.done, NOTHING_COMES_S)
    faulty.faults.http_hang = False
    assert (await request).status_code == 200


async def test_drop_sockets_cuts_without_a_closing_handshake(faulty: StackThread) -> None:
    """The client sees an abnormal end, and may connect again at once."""
    async with socket_of(faulty) as socket:
        await push(socket, "heartbeat")
        assert (await reply(socket))["status"] == "ok"
        faulty.faults.drop_sockets()
        await asyncio.wait_for(socket.wait_closed(), 10)
        assert socket.close_code == 1006
    async with socket_of(faulty) as socket:
        await push(socket, "heartbeat")
        assert (await reply(socket))["status"] == "ok"


async def test_hang_leaves_sockets_open_and_silent(faulty: StackThread) -> None:
    """Neither heartbeats nor joins are answered, and the socket stays open."""
    async with socket_of(faulty) as socket:
        faulty.faults.hang = True
        await push(socket, "heartbeat")
        answer = asyncio.create_task(reply(socket))
        await never(answer.done, NOTHING_COMES_S)
        assert socket.close_code is None
        answer.cancel()
        await asyncio.gather(answer, return_exceptions=True)


async def test_reply_delay_waits_before_a_message_is_handled(faulty: StackThread) -> None:
    """Never shorter than it says."""
    async with socket_of(faulty) as socket:
        faulty.faults.reply_delay_s = 0.3
        started = time.monotonic()
        await push(socket, "heartbeat")
        await reply(socket)
        assert time.monotonic() - started >= 0.3


async def test_refused_joins_and_connects(faulty: StackThread) -> None:
    """A join is answered with the reason, a handshake with the status."""
    async with socket_of(faulty) as socket:
        faulty.faults.refuse_joins = "Unauthorized: not today"
        await push(socket, "phx_join", "realtime:lobby")
        answer = await reply(socket)
        assert answer["status"] == "error"
        assert "not today" in json.dumps(answer)
    faulty.faults.refuse_connects = 503
    with pytest.raises(websockets.InvalidStatus) as refusal:
        async with socket_of(faulty):
            pass
    assert refusal.value.response.status_code == 503


async def test_lost_doorbells_do_not_arrive(faulty: StackThread) -> None:
    """A broadcast from the database is swallowed while the switch is on."""
    seen: list[str] = []

    async def collect(socket: websockets.ClientConnection) -> None:
        async for text in socket:
            frame = json.loads(text)
            if frame["event"] == "broadcast":
                seen.append(frame["payload"]["event"])

    async with socket_of(faulty) as socket:
        await push(socket, "phx_join", "realtime:bell")
        await reply(socket)
        task = asyncio.create_task(collect(socket))
        faulty.faults.lose_doorbells = True
        await ring(faulty, "lost")
        await never(lambda: seen, NOTHING_COMES_S)
        faulty.faults.lose_doorbells = False
        await ring(faulty, "heard")
        await eventually(lambda: seen)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert seen == ["heard"]


async def ring(stack: StackThread, event: str) -> None:
    connection = await asyncpg.connect(stack.admin_database_url)
    try:
        await connection.execute("select realtime.send('{}', $1, 'bell', false)", event)
    finally:
        await connection.close()
