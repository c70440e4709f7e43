"""A transport whose head and body of an answer leave together.

Uvicorn writes them one by one. The event loop sends the first at once, so that whoever waits is
woken twice for one answer. `crm_service` has the same for its own answers; the packages share
nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any


class JoinedWrites:
    """Keeps a piece for the next one, at most until this turn of the loop ends.

    Attributes:
        inner: The transport; what it is asked for, it is asked behind what was written.
    """

    def __init__(self, inner: asyncio.Transport) -> None:
        self.inner = inner
        self._loop = asyncio.get_running_loop()
        self._kept = b""

    def write(self, data: bytes) -> None:
        """Send what was kept together with this, or keep this."""
        if self._kept:
            self.inner.write(self._kept + data)
            self._kept = b""
        elif data:
            self._kept = data
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what was kept."""
        if self._kept:
            kept, self._kept = self._kept, b""
            self.inner.write(kept)

    def close(self) -> None:
        """Send what was kept, and close."""
        self.flush()
        self.inner.close()

    def __getattr__(self, name: str) -> Any:
        """Leave the rest to the transport."""
        self.flush()
        return getattr(self.inner, name)


__all__ = ["JoinedWrites"]
