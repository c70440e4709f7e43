"""One piece for what an answer writes within one turn of the event loop.

Uvicorn writes head and body one by one, and with Nagle's algorithm off each is a segment of its
own: two system calls here, and a client who is woken twice for one answer. Here the first piece
waits for the second, or until the turn ends.
"""

from __future__ import annotations

import asyncio
from typing import Any


class JoinedWrites(asyncio.Transport):
    """A transport whose pieces leave in pairs; what uvicorn's HTTP protocol uses of one.

    Args:
        transport: Takes what is written, in the same order.
        loop: Whose turns are meant.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held = b""
        self._turn_end: asyncio.Handle | None = None

    def write(self, data: Any) -> None:
        """Hold the data for the next piece of this turn, or send it with the one that waits."""
        if self._turn_end is None:
            self._held = data
            self._turn_end = self._loop.call_soon(self.release)
        else:
            self._transport.writelines((self._take(), data))

    def release(self) -> asyncio.Transport:
        """Send what waits and return the transport, for who goes on without joining."""
        if self._turn_end is not None:
            self._transport.write(self._take())
        return self._transport

    def close(self) -> None:
        """Send what waits and close."""
        self.release().close()

    def is_closing(self) -> bool:
        """Tell whether the transport is closed or about to be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell about the socket below."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Read nothing until ``resume_reading``."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def _take(self) -> bytes:
        assert self._turn_end is not None  # noqa: S101 - something is held
        self._turn_end.cancel()
        held, self._held, self._turn_end = self._held, b"", None
        return held
