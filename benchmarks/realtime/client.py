"""A WebSocket client that costs as little as possible: it counts frames, or keeps some of them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from typing import Any, cast

_HANDSHAKE = (
    "GET /websocket?apikey={key}&vsn=1.0.0 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: {nonce}\r\n\r\n"
)


class FrameClient(asyncio.Protocol):
    """One socket. ``count`` is how many text frames came; pings are answered.

    Attributes:
        wanted: called with every text frame and the loop's time; None only counts.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._buffer = bytearray()
        self._is_open = False
        self.opened = asyncio.get_running_loop().create_future()
        self.count = 0
        self._goal: tuple[int, asyncio.Future[None]] | None = None
        self.wanted: Any = None
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self.transport = cast("asyncio.Transport", transport)
        nonce = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(_HANDSHAKE.format(key=self._key, nonce=nonce).encode())

    def data_received(self, data: bytes) -> None:
        """Read whole frames from what has come."""
        buffer = self._buffer
        buffer += data
        if not self._is_open:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not buffer.startswith(b"HTTP/1.1 101"):
                self.opened.set_exception(ConnectionError(bytes(buffer[:200]).decode()))
                return
            del buffer[: end + 4]
            self._is_open = True
            self.opened.set_result(None)
        at = 0
        while (bounds := self._next_frame(at)) is not None:
            start, end = bounds
            self._take(buffer[at] & 0x0F, start, end)
            at = end
        del buffer[:at]

    def _next_frame(self, at: int) -> tuple[int, int] | None:
        """Return where the content of the frame at a position starts and ends, if it is whole."""
        buffer = self._buffer
        if len(buffer) < at + 2:
            return None
        size, start = buffer[at + 1], at + 2
        if size == 126 and len(buffer) >= at + 4:
            size, start = (buffer[at + 2] << 8) | buffer[at + 3], at + 4
        elif size == 127 and len(buffer) >= at + 10:
            size, start = struct.unpack_from("!Q", buffer, at + 2)[0], at + 10
        elif size >= 126:
            return None
        return (start, start + size) if len(buffer) >= start + size else None

    def _take(self, opcode: int, start: int, end: int) -> None:
        if opcode == 1:
            self.count += 1
            if self._goal is not None and self.count >= self._goal[0]:
                self._goal[1].set_result(None)
                self._goal = None
            if self.wanted is not None:
                self.wanted(bytes(self._buffer[start:end]))
        elif opcode == 9:
            self._write(0x8A, bytes(self._buffer[start:end]))

    async def reached(self, count: int) -> None:
        """Wait until that many text frames have come."""
        if self.count < count:
            future = asyncio.get_running_loop().create_future()
            self._goal = (count, future)
            await future

    def send(self, message: dict[str, Any]) -> None:
        """Send one message as a text frame."""
        self._write(0x81, json.dumps(message).encode())

    def _write(self, first: int, data: bytes) -> None:
        size = len(data)
        if size <= 125:
            head = bytes((first, 0x80 | size))
        elif size <= 0xFFFF:
            head = struct.pack("!BBH", first, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", first, 0x80 | 127, size)
        # A mask of zeros is a mask too; it spares this client the work.
        self.transport.write(head + b"\0\0\0\0" + data)


async def connect(port: int, key: str) -> FrameClient:
    """Open one socket."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: FrameClient(key), "127.0.0.1", port)
    await client.opened
    return client


async def join(
    client: FrameClient, topic: str, config: dict[str, Any], token: str | None = None
) -> None:
    """Join a channel; returns when the reply, and the word about changes, have come."""
    loop = asyncio.get_running_loop()
    frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    client.wanted = lambda data: loop.call_soon(frames.put_nowait, json.loads(data))
    payload: dict[str, Any] = {"config": config}
    if token is not None:
        payload["access_token"] = token
    client.send(
        {"topic": topic, "event": "phx_join", "ref": "1", "join_ref": "1", "payload": payload}
    )
    reply = await asyncio.wait_for(frames.get(), 30)
    if reply["payload"].get("status") != "ok":
        raise RuntimeError(f"the join was refused: {reply}")
    if config.get("postgres_changes"):
        system = await asyncio.wait_for(frames.get(), 30)
        if system["payload"].get("status") != "ok":
            raise RuntimeError(f"no table changes: {system}")
    client.wanted = None
    client.count = 0
