"""A TCP proxy on loopback that breaks connections on demand."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from portal_sdk.errors import ConfigurationError

CHUNK_BYTES = 65_536


class FaultProxy:
    """Forwards bytes to a project; use it as an async context manager.

    Attributes:
        is_refusing: New connections are closed at once.
        is_silent: Nothing is forwarded; connections stay open.
        delay_s: Wait before each chunk is forwarded.

    Args:
        target_url: Where to forward to, such as ``http://127.0.0.1:54321``.

    Raises:
        ConfigurationError: Not an http URL with a port.
    """

    def __init__(self, target_url: str) -> None:
        parts = urlsplit(target_url)
        if parts.scheme != "http" or not parts.hostname:
            raise ConfigurationError("FaultProxy needs a plain URL: http://127.0.0.1:54321")
        self.is_refusing = False
        self.is_silent = False
        self.delay_s = 0.0
        self._target = (parts.hostname, parts.port or 80)
        self._server: asyncio.Server | None = None
        self._port: int | None = None
        self._is_closing = False
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._awake = asyncio.Event()

    @property
    def url(self) -> str:
        """The URL to give to the portal; after the exit nobody answers there."""
        if self._port is None:
            raise ConfigurationError("Enter the proxy first: async with FaultProxy(...) as proxy")
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        self._is_closing = True
        self.cut()
        for task in list(self._pumps):
            task.cancel()
        if self._pumps:
            await asyncio.wait(self._pumps)
        if self._server is not None:
            await self._server.wait_closed()

    def cut(self) -> None:
        """Break every connection without a farewell."""
        for writer in list(self._writers):
            writer.transport.abort()

    def heal(self) -> None:
        """Switch every fault off; what waited goes on."""
        self.is_refusing = self.is_silent = False
        self.delay_s = 0.0
        self._awake.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if self.is_refusing or task is None:
            writer.transport.abort()
            return
        self._pumps.add(task)
        task.add_done_callback(self._pumps.discard)
        self._writers.add(writer)
        far: asyncio.StreamWriter | None = None
        try:
            far_reader, far = await asyncio.open_connection(*self._target)
            self._writers.add(far)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far))
                group.create_task(self._pump(far_reader, writer))
        except* OSError:
            pass  # one end is gone; the other is closed below
        except* asyncio.CancelledError:
            if not self._is_closing:  # asyncio reports a handler that ends as cancelled
                raise
        finally:
            for end in (writer, far):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if self.delay_s > 0:
                await asyncio.sleep(self.delay_s)
            while self.is_silent:
                self._awake.clear()
                await self._awake.wait()
            writer.write(chunk)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
