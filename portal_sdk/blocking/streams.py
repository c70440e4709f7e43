"""An iterator over what a live table, a room or a portal tells, for plain threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Generic, Self, TypeVar

from portal_sdk._runtime.loop_thread import LoopThread
from portal_sdk.errors import PortalClosedError, StateError

ItemT = TypeVar("ItemT")
CHECK_S = 0.25
"""How often a waiting iterator wakes, so that Ctrl-C is noticed on every platform."""


class BlockingStream(Iterator[ItemT], Generic[ItemT]):
    """An iterator that waits for each next item; ends when the portal closes."""

    def __init__(self, thread: LoopThread, stream: AsyncIterator[ItemT]) -> None:
        self._thread = thread
        self._stream = stream

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ItemT:
        while True:
            try:
                return self.next(timeout_s=CHECK_S)
            except TimeoutError:
                continue

    def next(self, *, timeout_s: float) -> ItemT:
        """Return the next item.

        Args:
            timeout_s: Seconds to wait for it.

        Raises:
            TimeoutError: Nothing happened in this time; nothing is lost.
            StopIteration: The portal is closed.
            SlowConsumerError: The reader fell behind.
        """

        async def step() -> tuple[ItemT] | None:
            try:
                return (await asyncio.wait_for(anext(self._stream), timeout_s),)
            except StopAsyncIteration:
                return None

        try:
            item = self._thread.run(step)
        except (PortalClosedError, StateError):
            item = None
        if item is None:
            raise StopIteration
        return item[0]
