"""A TCP proxy on loopback that can cut every connection through it.

It stands between the stack and everybody who uses it, so that a cut is what the network does to
them: a reset socket, at once, in the middle of whatever they were doing. It looks at no byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Self, cast
from urllib.parse import urlsplit, urlunsplit

_OnSide = Callable[["_Side"], None]
# Closing with a linger time of zero sends RST instead of a polite FIN.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class CuttingProxy:
    """Forward connections to one server until `cut` resets them all.

    Args:
        target_url: http URL of the server behind; its host and port are used.

    Use as an async context manager; leaving it closes the listener and resets what is still open.
    """

    def __init__(self, target_url: str) -> None:
        self._target = urlsplit(target_url)
        self._server: asyncio.Server | None = None
        self._clients: set[_Side] = set()
        self._joining: set[asyncio.Task[None]] = set()
        self.is_down = False
        """Whether new connections are reset at once, as if the network were gone."""
        self.url = ""
        """The address to use instead of the target's; set while the context is open."""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Side(self._accepted), "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = urlunsplit((self._target.scheme, f"127.0.0.1:{port}", self._target.path, "", ""))
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._server is None:
            return
        self._server.close()
        for task in tuple(self._joining):
            task.cancel()
        self.cut()
        await self._server.wait_closed()

    @property
    def open_count(self) -> int:
        """How many connections are open now."""
        return len(self._clients)

    def cut(self) -> int:
        """Reset every open connection on both sides and return how many there were."""
        clients = tuple(self._clients)
        for client in clients:
            if client.peer is not None:
                client.peer.reset()
            client.reset()
        return len(clients)

    def take_down(self) -> int:
        """Cut everything and let nobody through until `bring_up`; return how many were cut."""
        self.is_down = True
        return self.cut()

    def bring_up(self) -> None:
        """Let connections through again."""
        self.is_down = False

    def _accepted(self, client: _Side) -> None:
        if self.is_down:
            client.reset()
            return
        self._clients.add(client)
        client.on_lost = self._clients.discard
        task = asyncio.get_running_loop().create_task(self._join(client), name="demo-proxy-join")
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    async def _join(self, client: _Side) -> None:
        host, port = self._target.hostname or "127.0.0.1", self._target.port or 80
        loop = asyncio.get_running_loop()
        try:
            _, server = await loop.create_connection(_Side, host, port)
        except OSError:
            client.reset()
            return
        client.join(server)


class _Side(asyncio.Protocol):
    """One side of a connection; what it reads, its peer writes.

    Args:
        on_made: Called with this side once it is connected; it then waits for `join`.
    """

    def __init__(self, on_made: _OnSide | None = None) -> None:
        self._on_made = on_made
        self._early = bytearray()
        self.ended = False
        self.transport: asyncio.Transport | None = None
        self.peer: _Side | None = None
        self.on_lost: _OnSide | None = None

    def join(self, server: _Side) -> None:
        """Make two connected sides each other's peer and pass on what was read before."""
        self.peer, server.peer = server, self
        if self.transport is None or server.transport is None:
            self.reset()
            server.reset()
            return
        server.transport.write(bytes(self._early))
        self.transport.write(bytes(server._early))
        self._early.clear()

    def reset(self) -> None:
        """Drop the connection with RST; what was buffered is lost."""
        if self.transport is None:
            return
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    @property
    def _output(self) -> asyncio.Transport | None:
        return None if self.peer is None else self.peer.transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        if self._output is None:
            self._early += data
        else:
            self._output.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.peer is None or self._output is None:
            return False
        if self.peer.ended:
            self._output.close()
            return False
        with contextlib.suppress(OSError):
            self._output.write_eof()
        # Half-closed: the other direction may still have something to say.
        return True

    def pause_writing(self) -> None:
        if self._output is not None:
            self._output.pause_reading()

    def resume_writing(self) -> None:
        if self._output is not None:
            self._output.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.on_lost is not None:
            self.on_lost(self)
        if self.peer is None:
            return
        if exc is None and self._output is not None:
            self._output.close()
        else:
            self.peer.reset()
