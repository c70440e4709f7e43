"""Pure ASGI middleware at the door: who calls, and not too often, before anything is read.

It runs before the body is parsed, so that a caller without a session learns nothing about it.
"""

import math
import time
from dataclasses import dataclass
from threading import Timer
from uuid import UUID

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from crm_service.auth import Subject
from crm_service.errors import RateLimitedError, ServiceError
from crm_service.headers import first_headers
from crm_service.problems import render_problem

_GUARDED = "/v1/"
# Checking a signature costs more than all else at the door. The session's end is always honoured,
# and whether its owner is staff is asked elsewhere; only a key that was withdrawn counts on a bit.
_REMEMBER_S = 30.0
_MAX_REMEMBERED = 10_000
_MAX_COUNTS = 100_000
_STEPS = 100


@dataclass(frozen=True, slots=True)
class _Verified:
    """A session whose signature was checked, and until when that need not be done again.

    In seconds since 1970, and not after the session's end.
    """

    subject: Subject
    until: float


class Admission:
    """Verify the session of every request below ``/v1/`` and count it against its limit.

    The verified caller is left in the request's state as ``subject``.

    Args:
        app: What is behind the door.
        rate: Requests per user, such as ``600/minute``; empty for no limit.
    """

    def __init__(self, app: ASGIApp, *, rate: str) -> None:
        self._app = app
        self._limiter = RateLimiter(rate) if rate else None
        self._verified: dict[bytes, _Verified] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or not scope["path"].startswith(_GUARDED):
            await self._app(scope, receive, send)
            return
        try:
            authorization = first_headers(scope).get(b"authorization", b"")
            subject = self._known(authorization) or await self._identify(scope, authorization)
            if self._limiter is not None:
                self._limiter.admit(subject.user_id)
        except ServiceError as error:
            request_id = scope["state"]["request_id"]
            await render_problem(error, request_id)(scope, receive, send)
            return
        scope["state"]["subject"] = subject
        await self._app(scope, receive, send)

    def _known(self, authorization: bytes) -> Subject | None:
        """Return whose header this is if it was verified a moment ago."""
        known = self._verified.get(authorization)
        return known.subject if known is not None and time.time() < known.until else None

    async def _identify(self, scope: Scope, authorization: bytes) -> Subject:
        """Verify a header and remember it."""
        now = time.time()
        verifier = scope["app"].services.verifier
        subject: Subject = await verifier.verify(authorization.decode("latin-1"))
        if len(self._verified) >= _MAX_REMEMBERED:
            self._verified.clear()
        until = min(now + _REMEMBER_S, subject.expires_at)
        self._verified[authorization] = _Verified(subject, until)
        return subject


class _NoTimer(Timer):
    """A timer that never has to be started."""

    def __init__(self) -> None:
        super().__init__(0, lambda: None)

    def is_alive(self) -> bool:
        """Say that there is no need for another one."""
        return True


class RateLimiter:
    """Count requests per user in a sliding window, in this process.

    Counting is a tenth of what the service itself does for a request, so of a large limit a
    hundredth is taken at a time and used up one by one: somebody may send that many more in the
    window after, and never less than the limit.

    Args:
        rate: In the notation of the library ``limits``.

    Raises:
        ValueError: The notation is wrong.
    """

    def __init__(self, rate: str) -> None:
        self._item = parse(rate)
        self._storage = MemoryStorage()
        # The storage would start a thread for every few requests to forget old counts.
        self._storage.timer = _NoTimer()
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)
        self._step = max(1, self._item.amount // _STEPS)
        # By the number: to hash a UUID costs as much as all else here.
        self._taken: dict[int, int] = {}

    def admit(self, user_id: UUID) -> None:
        """Count one request.

        Raises:
            RateLimitedError: It is one too many.
        """
        taken = self._taken.pop(user_id.int, 0) or self._take(user_id)
        if taken > 1:
            self._taken[user_id.int] = taken - 1

    def _take(self, user_id: UUID) -> int:
        """Count some requests at once; return how many."""
        if len(self._storage.storage) > _MAX_COUNTS:
            self._storage.reset()
            self._taken.clear()
        for count in (self._step, 1):
            if self._limiter.hit(self._item, str(user_id), cost=count):
                return count
        window = self._limiter.get_window_stats(self._item, str(user_id))
        wait_s = max(1, math.ceil(window.reset_time - time.time()))
        raise RateLimitedError(
            f"More than {self._item.amount} requests in {self._item.get_expiry()} s. Wait "
            f"{wait_s} s; for many rows at once use the bulk calls.",
            retry_after_s=wait_s,
        )
