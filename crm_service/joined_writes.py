"""Uvicorn's protocol, except that head and body of an answer leave in one piece.

Uvicorn writes them one by one, and with Nagle's algorithm off each is a segment of its own: two
system calls here, and a caller who is woken twice for one answer.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class JoinedWrites:
    """A transport that waits with a piece for the next one, until this turn of the loop ends.

    Args:
        transport: Does everything else, and the writing.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._waiting = b""

    def write(self, data: bytes) -> None:
        """Write what waits together with this, or let this wait."""
        if self._waiting:
            self._transport.write(self._waiting + data)
            self._waiting = b""
        elif data:
            self._waiting = data
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Write what waits, and close."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Tell whether the connection ends; asked about at every request."""
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        """Leave the rest to the transport, behind what waits."""
        self._flush()
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, b""
            self._transport.write(waiting)


class JoinedWritesProtocol(HttpToolsProtocol):
    """What ``uvicorn.Config`` takes as ``http``."""

    def connection_made(  # type: ignore[override]
        self, transport: asyncio.Transport
    ) -> None:
        """Begin."""
        super().connection_made(cast("asyncio.Transport", JoinedWrites(transport)))


__all__ = ["JoinedWrites", "JoinedWritesProtocol"]
