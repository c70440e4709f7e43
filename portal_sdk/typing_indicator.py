"""Who is typing in a broadcast room."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Awaitable
from typing import Any, Protocol

from portal_sdk._core.typing import TypingRoster
from portal_sdk._runtime.delivery import Stream, Subscribers
from portal_sdk.types import Row

TYPING_EVENT = "typing"
TYPING_EXPIRY_S = 5.0
TYPING_PAUSE_S = 2.0


class Send(Protocol):
    """Sends a message to the room."""

    def __call__(self, event: str, payload: Row, /) -> Awaitable[None]:
        """Send it, and wait for the receipt."""
        ...


class TypingIndicator:
    """Who is typing in a broadcast room; marks expire by themselves after 5 seconds.

    Everybody in the room can say anything, so this is a hint for people, not a fact.
    """

    def __init__(self, send: Send, key: str, *, hears_self: bool = False) -> None:
        self._send_event = send
        self._key = key
        # The key is the user's, on every device: what tells our own marks when they come back.
        self._mark = {"device": str(uuid.uuid4())} if hears_self else {}
        self._roster = TypingRoster(TYPING_EXPIRY_S)
        self._sent_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changes: Subscribers[frozenset[str]] = Subscribers(
            64, self._tasks, forget_oldest=True
        )

    @property
    def keys(self) -> frozenset[str]:
        """The keys of everyone else who is typing now."""
        return self._roster.keys

    def changes(self) -> Stream[frozenset[str]]:
        """Return an async iterator over ``keys`` from now on."""
        return self._changes.stream()

    async def touch(self) -> None:
        """Say that the user is typing; call it on every keystroke, it sends every 2 seconds.

        Raises:
            ChannelClosedError: The room is not joined at this moment, or was left.
            BroadcastTimeoutError, ConnectionLostError: As for ``send``.
        """
        now = asyncio.get_running_loop().time()
        if self._sent_at is not None and now - self._sent_at < TYPING_PAUSE_S:
            return
        self._sent_at = now
        try:
            await self._send(is_typing=True)
        except BaseException:
            self._sent_at = None  # the next keystroke tries again
            raise

    async def stop(self) -> None:
        """Say that the user stopped typing, for example because the message was sent."""
        self._sent_at = None
        await self._send(is_typing=False)

    def take(self, payload: Row) -> None:
        """Take a mark of somebody else in."""
        if self._mark and payload.get("device") == self._mark["device"]:
            return
        key, is_typing = payload.get("key"), payload.get("is_typing")
        if isinstance(key, str) and isinstance(is_typing, bool):
            now = asyncio.get_running_loop().time()
            self._tell(has_changed=self._roster.mark(key, now, is_typing=is_typing))

    def close(self) -> None:
        """Forget everything; streams end."""
        if self._timer is not None:
            self._timer.cancel()
        self._sent_at = None  # whoever types on is told that the room was left
        self._roster.expire(math.inf)
        self._changes.close()

    async def _send(self, *, is_typing: bool) -> None:
        await self._send_event(
            TYPING_EVENT, {"key": self._key, "is_typing": is_typing, **self._mark}
        )

    def _expire(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        self._tell(has_changed=self._roster.expire(now))

    def _tell(self, *, has_changed: bool) -> None:
        if has_changed:
            self._changes.push(self._roster.keys)
        deadline = self._roster.next_deadline()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)
