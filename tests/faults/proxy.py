"""A TCP proxy on loopback that does to connections what networks do to them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from typing import Any, Self
from urllib.parse import urlsplit

_RESET = struct.pack("ii", 1, 0)
CHUNK_BYTES = 64 * 1024


class FaultProxy:
    """Forwards connections to one server, badly if told so.

    Attributes:
        url: The address to use instead of the server's.
        is_open: False refuses new connections at once.
        is_black_hole: Connections stay open, and nothing passes any more (half-open link).
        delay_s: Each chunk waits a random time up to this.
        dribble: Chunks are passed byte by byte.
    """

    def __init__(self, target_url: str) -> None:
        target = urlsplit(target_url)
        self._host, self._port = target.hostname or "127.0.0.1", target.port or 80
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._random = random.Random(1)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.url = ""
        self.is_open = True
        self.delay_s = 0.0
        self.dribble = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
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

    def heal(self) -> None:
        """Forward faithfully again."""
        self.is_open, self.is_black_hole, self.delay_s, self.dribble = True, False, 0.0, False

    def reset_all(self) -> None:
        """RST on both sides of every connection."""
        for pair in list(self._pairs):
            for writer in pair:
                raw = writer.get_extra_info("socket")
                with contextlib.suppress(OSError, AttributeError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()

    def finish_all(self) -> None:
        """FIN on both sides of every connection."""
        for pair in list(self._pairs):
            for writer in pair:
                writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not self.is_open:
            writer.transport.abort()
            return
        try:
            to_reader, to_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, to_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._pump(reader, to_writer), self._pump(to_reader, writer))
        except asyncio.CancelledError:
            return  # the proxy ends, and asyncio would log it
        finally:
            self._pairs.discard(pair)
            writer.close()
            to_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._flowing.wait()
                if self.delay_s:
                    await asyncio.sleep(self._random.random() * self.delay_s)
                await self._pass_on(data, writer)
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        step = 1 if self.dribble and len(data) < 4096 else len(data)
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
