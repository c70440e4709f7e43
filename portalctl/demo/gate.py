"""A gate that lets many pass at a time, and can be shut until nobody is inside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class QuietGate:
    """Let requests through; `quiet` waits until none is under way and holds the next ones back."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._inside_count = 0

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Be inside, after waiting while the gate is shut."""
        await self._open.wait()
        self._inside_count += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside_count -= 1
            if not self._inside_count:
                self._empty.set()

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """Shut the gate, wait until nobody is inside, and open it again afterwards."""
        self._open.clear()
        try:
            await self._empty.wait()
            yield
        finally:
            self._open.set()
