"""A session of staff that lasts as long as the page is open."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

# Tokens of the stack last an hour.
_RENEW_AFTER_S: Final = 1800.0


class StaffSession:
    """Access tokens from one sign-in after another; each is used for half its life.

    Args:
        sign_in: Returns a new access token, or raises.
        clock: Monotonic seconds.
    """

    def __init__(
        self, sign_in: Callable[[], Awaitable[str]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sign_in = sign_in
        self._clock = clock
        self._token: str | None = None
        self._renew_at_s = 0.0

    async def token(self) -> str:
        """Return a token that is good for a while; raises what signing in raises."""
        now_s = self._clock()
        if self._token is None or now_s >= self._renew_at_s:
            self._token = await self._sign_in()
            self._renew_at_s = now_s + _RENEW_AFTER_S
        return self._token
