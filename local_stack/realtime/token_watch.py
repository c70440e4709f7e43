"""Ends a channel when its token does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.auth.tokens import TokenError
from local_stack.realtime.errors import render_token_error

if TYPE_CHECKING:
    from local_stack.auth.tokens import TokenVerifier

_RECHECK_S = 300.0
# A timer may be early by the clock's resolution, and the token would still be good then.
_LATE_S = 0.005


@dataclass(frozen=True, slots=True)
class Credential:
    """The token of a channel and its claims; ``token`` None never expires."""

    token: str | None
    claims: Mapping[str, Any]


class TokenWatch:
    """Looks at a token again when it expires, and at the latest in five minutes.

    Its key may have been revoked meanwhile. Used from the event loop only.

    Args:
        verifier: Says whether a token is good now.
        on_end: Called once with the reason when it is not.
    """

    def __init__(self, verifier: TokenVerifier, on_end: Callable[[str], None]) -> None:
        self._verifier = verifier
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, credential: Credential) -> None:
        """Watch this token from now on, instead of an earlier one."""
        self.cancel()
        if credential.token is None:
            return
        remaining_s = float(credential.claims["exp"]) - time.time()
        delay_s = min(_RECHECK_S, max(0.0, remaining_s)) + _LATE_S
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(delay_s, self._recheck, credential.token, credential)

    def cancel(self) -> None:
        """Watch nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _recheck(self, token: str, credential: Credential) -> None:
        try:
            self._verifier.verify(token)
        except TokenError as error:
            self._on_end(render_token_error(error)[2])
        else:
            self.follow(credential)
