"""Bodies of requests that are too large or come too slowly are refused where they are read."""

import asyncio
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from crm_service.headers import first_headers, header

_TOO_LARGE = 413
_TOO_SLOW = 408
_ANNOUNCING = frozenset({b"content-length", b"transfer-encoding"})


def announces_body(scope: Scope) -> bool:
    """Tell whether a request may have a body (RFC 9112, 6.3)."""
    return not _ANNOUNCING.isdisjoint(first_headers(scope))


class BodyLimit:
    """Refuse request bodies of more than ``max_bytes``, or that pause for ``pause_s`` seconds.

    Args:
        max_bytes: For every path but those of ``larger``.
        pause_s: Longest wait for the next piece.
        larger: Other limits by the beginning of the path.
    """

    def __init__(
        self, *, max_bytes: int, pause_s: float, larger: Mapping[str, int] | None = None
    ) -> None:
        self._max_bytes = max_bytes
        self._pause_s = pause_s
        self._larger = dict(larger or {})

    def limit(self, scope: Scope, receive: Receive) -> Receive:
        """Return what reads the body of a request within its limits.

        The refusal is raised where the application reads, so that it is answered like every other
        error.
        """
        if not announces_body(scope):
            return receive
        announced = header(scope, b"content-length") or ""
        announced_bytes = int(announced) if announced.isdecimal() else 0
        max_bytes = self._max_of(scope["path"])
        return _LimitedBody(receive, announced_bytes, max_bytes, self._pause_s)

    def _max_of(self, path: str) -> int:
        for prefix, max_bytes in self._larger.items():
            if path.startswith(prefix):
                return max_bytes
        return self._max_bytes


class _LimitedBody:
    """Reads a body as long as it is within its limits."""

    def __init__(
        self, receive: Receive, announced_bytes: int, max_bytes: int, pause_s: float
    ) -> None:
        self._receive = receive
        self._announced_bytes = announced_bytes
        self._max_bytes = max_bytes
        self._pause_s = pause_s
        self._received_bytes = 0
        self._complete = False

    async def __call__(self) -> Message:
        """Return the next piece.

        Raises:
            HTTPException: It is one too many, or does not come.
        """
        if self._announced_bytes > self._max_bytes:
            raise HTTPException(_TOO_LARGE)
        message = await self._next()
        self._received_bytes += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._received_bytes > self._max_bytes:
            raise HTTPException(_TOO_LARGE)
        return message

    async def _next(self) -> Message:
        if self._complete:
            # Behind the body there is only the caller's going away to wait for.
            return await self._receive()
        try:
            async with asyncio.timeout(self._pause_s):
                return await self._receive()
        except TimeoutError as error:
            raise HTTPException(_TOO_SLOW) from error
