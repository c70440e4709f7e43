"""Messages come whole and in order, without a queue between the socket and whoever takes them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from portal_sdk._runtime.frame_socket import FrameSocket
from portal_sdk._runtime.repaired_client import RepairedClient

LATEST_S = 10.0
Script = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """A server that does this with every socket; gives its URL."""
    async with serve(script, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def messages_of(script: Script, **options: Any) -> tuple[list[bytes], ClientConnection]:
    """Take everything until the server has closed."""
    taken: list[bytes] = []
    factory = cast("type[ClientConnection]", functools.partial(FrameSocket, take=taken.append))
    async with serving(script) as url, asyncio.timeout(LATEST_S):
        socket = await connect(url, create_connection=factory, **options)
        await socket.wait_closed()
    return taken, socket


async def test_messages_are_taken_whole_and_in_order() -> None:
    async def script(server: ServerConnection) -> None:
        await server.send("one")
        await server.send(b"two")
        await server.send(["thr", "", "ee"])
        await (await server.ping())  # control frames are answered as ever
        await server.send(["", "four"])
        for number in range(2000):
            await server.send(str(number))
        await server.close(4001, "bye")

    taken, socket = await messages_of(script)
    numbers = [str(number).encode() for number in range(2000)]
    assert taken == [b"one", b"two", b"three", b"four", *numbers]
    assert (socket.close_code, socket.close_reason) == (4001, "bye")


async def test_a_message_in_pieces_may_not_be_longer_than_allowed() -> None:
    async def script(server: ServerConnection) -> None:
        await server.send(["x" * 60] * 3)
        await server.wait_closed()

    taken, socket = await messages_of(script, max_size=100)
    assert taken == []
    assert socket.protocol.close_sent is not None
    assert socket.protocol.close_sent.code == 1009


class Heard:
    """A listener that writes down what it was told."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.has_ended = asyncio.Event()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.said.append((name, *arguments))

    def socket_ended(self, code: int | None, reason: str) -> None:
        self.said.append(("socket_ended", code, reason))
        self.has_ended.set()


async def test_a_message_above_the_limit_says_which_limit(caplog: Any) -> None:
    """The server did nothing wrong: without a word nobody would look at the configuration."""

    async def script(server: ServerConnection) -> None:
        await server.send("x" * 1001)
        await server.wait_closed()

    heard = Heard()
    async with serving(script) as url, asyncio.timeout(LATEST_S):
        client = RepairedClient(
            url, "key", max_frame_bytes=1000, timeout_s=5, listener=cast("Any", heard)
        )
        await client.connect()
        await heard.has_ended.wait()
        await client.release()
    reason = "a message was above PortalConfig.max_frame_bytes (1000); raise the limit"
    assert heard.said == [("socket_ended", 1009, reason)]
    (warning,) = [record for record in caplog.records if record.name == "portal_sdk.realtime"]
    assert "PortalConfig.max_frame_bytes (1000)" in warning.getMessage()


async def test_a_frame_that_cannot_be_read_is_told_of_and_the_socket_goes_on() -> None:
    async def script(server: ServerConnection) -> None:
        for message in (b"\xff\xfe", "{", "[]", '{"topic":"realtime:a","event":"broadcast"}'):
            await server.send(message)
        ring = '{"event":"sync","payload":{"n":7}}'
        await server.send(f'{{"topic":"realtime:a","event":"broadcast","payload":{ring}}}')

    heard = Heard()
    async with serving(script) as url, asyncio.timeout(LATEST_S):
        client = RepairedClient(
            url, "key", max_frame_bytes=1000, timeout_s=5, listener=cast("Any", heard)
        )
        client.join_channel("a", {})
        await client.connect()
        await heard.has_ended.wait()
        await client.release()
    lost = [("frame_lost",)] * 4
    assert heard.said == [*lost, ("broadcast_received", "sync", {"n": 7}),
                          ("socket_ended", 1000, "")]  # fmt: skip
