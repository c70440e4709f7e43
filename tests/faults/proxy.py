"""A TCP proxy on loopback that does to connections what networks do to them.

It also reads the WebSocket frames that the server sends, so that it can close a socket with a code,
and do to single rings what a lossy doorbell does.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

from tests.faults.frames import Frame, close_frame, take_frames

_RESET = struct.pack("ii", 1, 0)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_SWITCHED = b"HTTP/1.1 101 "
_HEAD_END = b"\r\n\r\n"
CHUNK_BYTES = 64 * 1024
Mangler = Callable[[Frame], list[Frame]]


class Link:
    """One connection through the proxy.

    Attributes:
        is_stranded: Nothing passes any more, for ever, although both ends are open.
        is_socket: It was upgraded to a WebSocket.
    """

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.is_stranded = False
        self.is_socket = False
        self.frames = bytearray()
        self.tail = b""
        self._sending = asyncio.Lock()

    async def send(self, data: bytes, *, dribble: bool) -> None:
        """Write to the client; whole pieces never interleave."""
        async with self._sending:
            await write(data, self.near, dribble=dribble)

    def abort(self) -> None:
        """RST on both sides."""
        for writer in (self.near, self.far):
            raw = writer.get_extra_info("socket")
            with contextlib.suppress(OSError, AttributeError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    def close(self) -> None:
        """FIN on both sides."""
        self.near.close()
        self.far.close()


class FaultProxy:
    """Forwards connections to one server, badly if told so.

    Attributes:
        url: The address to use instead of the server's.
        is_open: False refuses new connections at once.
        is_black_hole: Connections stay open, and nothing passes any more until it is healed.
        delay_s: Each chunk waits a random time up to this.
        dribble: Chunks are passed byte by byte.
        mangle: What becomes of a text frame for the client; None passes it on.
        secret: Bytes that must never reach the client.
        leak_count: How often they did.
        statuses: How many HTTP answers there were of each status.
        opened_count: Connections accepted so far.
    """

    def __init__(self, target_url: str) -> None:
        target = urlsplit(target_url)
        self._host, self._port = target.hostname or "127.0.0.1", target.port or 80
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._random = random.Random(1)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.url = ""
        self.is_open = True
        self.delay_s = 0.0
        self.dribble = False
        self.mangle: Mangler | None = None
        self.secret = b""
        self.leak_count = 0
        self.statuses: Counter[int] = Counter()
        self.opened_count = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=2048)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._server.close()
        self.heal()
        self.reset_all()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def is_black_hole(self) -> bool:
        return not self._flowing.is_set()

    @is_black_hole.setter
    def is_black_hole(self, value: bool) -> None:
        (self._flowing.clear if value else self._flowing.set)()

    @property
    def server_errors(self) -> int:
        """How many HTTP answers were 5xx."""
        return sum(count for status, count in self.statuses.items() if status >= 500)

    def retarget(self, url: str) -> None:
        """Forward new connections to another server."""
        target = urlsplit(url)
        self._host, self._port = target.hostname or "127.0.0.1", target.port or 80

    def heal(self) -> None:
        """Forward faithfully again; what is stranded stays so."""
        self.is_open, self.is_black_hole, self.delay_s, self.dribble = True, False, 0.0, False
        self.mangle = None

    def reset_all(self) -> None:
        """RST on both sides of every connection."""
        for link in list(self._links):
            link.abort()

    def finish_all(self) -> None:
        """FIN on both sides of every connection."""
        for link in list(self._links):
            link.close()

    def strand_all(self) -> None:
        """Make every connection half-open for ever; new ones work."""
        for link in self._links:
            link.is_stranded = True

    async def close_sockets(self, code: int) -> None:
        """Send a WebSocket close of this code on every socket, as the server would."""
        for link in [link for link in self._links if link.is_socket]:
            with contextlib.suppress(OSError, RuntimeError):
                await link.send(close_frame(code).encode(), dribble=False)

    async def send_frame(self, frame: Frame) -> None:
        """Send a frame of our own to the client on every socket."""
        for link in [link for link in self._links if link.is_socket]:
            with contextlib.suppress(OSError, RuntimeError):
                await link.send(frame.encode(), dribble=False)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.opened_count += 1
        if not self.is_open:
            writer.transport.abort()
            return
        try:
            to_reader, to_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, to_writer)
        self._links.add(link)
        try:
            await asyncio.gather(self._pump_up(reader, link), self._pump_down(to_reader, link))
        except asyncio.CancelledError:
            return  # the proxy ends, and asyncio would log it
        finally:
            self._links.discard(link)
            link.close()

    async def _pump_up(self, reader: asyncio.StreamReader, link: Link) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._obstruct()
                if not link.is_stranded:
                    await write(data, link.far, dribble=self.dribble)
        await self._flowing.wait()
        with contextlib.suppress(OSError, RuntimeError):
            if not link.is_stranded:  # the other end never hears of a goodbye either
                link.far.close()

    async def _pump_down(self, reader: asyncio.StreamReader, link: Link) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._obstruct()
                if not link.is_stranded:
                    await link.send(self._look(data, link), dribble=self.dribble)
        with contextlib.suppress(OSError, RuntimeError):
            if not link.is_stranded:
                link.near.close()

    async def _obstruct(self) -> None:
        await self._flowing.wait()
        if self.delay_s:
            await asyncio.sleep(self._random.random() * self.delay_s)

    def _look(self, data: bytes, link: Link) -> bytes:
        """Count what passes to the client, and mangle frames if told so."""
        if self.secret:
            self.leak_count += self.secret in link.tail + data
            link.tail = data[-len(self.secret) :]
        if link.is_socket:
            link.frames += data
            return self._frames(link)
        if match := _STATUS.match(data):
            self.statuses[int(match[1])] += 1
        if data.startswith(_SWITCHED) and _HEAD_END in data:
            link.is_socket = True
            head, _, rest = data.partition(_HEAD_END)
            link.frames += rest
            return head + _HEAD_END + self._frames(link)
        return data

    def _frames(self, link: Link) -> bytes:
        mangle = self.mangle or (lambda frame: [frame])
        found = take_frames(link.frames)
        return b"".join(sent.encode() for frame in found for sent in mangle(frame))


async def write(data: bytes, writer: asyncio.StreamWriter, *, dribble: bool) -> None:
    """Write everything, byte by byte if told so."""
    step = 1 if dribble and len(data) < 4096 else max(len(data), 1)
    for start in range(0, len(data), step):
        writer.write(data[start : start + step])
        await writer.drain()
