"""TokenMachine: when to get, renew, retry and give up a token.

The rules (TOKEN-n) are in docs/protocol/connection.md.
Pure. It never holds the token itself; it decides about time and refusals only.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from portal_sdk._core.backoff import Backoff
from portal_sdk._core.deadlines import earliest
from portal_sdk._core.effects import FetchToken
from portal_sdk._core.events import (
    PauseAsked,
    ResumeAsked,
    Started,
    TokenAccepted,
    TokenAcquired,
    TokenFailed,
    TokenRefused,
    TokenRejected,
)
from portal_sdk._core.rules import Rule, Table
from portal_sdk.config import PortalConfig
from portal_sdk.errors import PortalError, RequestTimeoutError

RENEW_FROM = 0.5
RENEW_SPREAD = 0.3
REJECTION_LIMIT = 3
SHORTEST_RENEWAL_S = 1.0
MOST_PATIENCE = 3


class TokenState(enum.StrEnum):
    """What is being done about the token."""

    NONE = "none"
    FETCHING = "fetching"
    VALID = "valid"
    RENEWING = "renewing"
    WAITING = "waiting"
    REFUSED = "refused"
    RESTING = "resting"


TokenEvent = (
    Started
    | PauseAsked
    | ResumeAsked
    | TokenAcquired
    | TokenFailed
    | TokenRefused
    | TokenRejected
    | TokenAccepted
)

_T = TokenState


def _rule(action: str, spec: str, *targets: TokenState) -> Rule[TokenState]:
    return Rule(action, frozenset(targets), spec)


def _row(state: TokenState, **changes: Rule[TokenState]) -> dict[type, Rule[TokenState]]:
    ignore = _rule("ignore", "TOKEN-1", state)
    return {
        Started: changes.get("started", ignore),
        PauseAsked: changes.get("paused", _rule("rest", "TOKEN-7", _T.RESTING)),
        ResumeAsked: changes.get("resumed", ignore),
        TokenAcquired: changes.get("acquired", ignore),
        TokenFailed: changes.get("failed", ignore),
        TokenRefused: changes.get("refused", ignore),
        TokenRejected: changes.get("rejected", ignore),
        TokenAccepted: changes.get("accepted", ignore),
    }


_ACQUIRED = _rule("keep", "TOKEN-2", _T.VALID)
_FAILED = _rule("retry", "TOKEN-4", _T.WAITING)
_REFUSED = _rule("refuse", "TOKEN-5", _T.REFUSED)
_FETCH = _rule("fetch", "TOKEN-1", _T.FETCHING)
_ACCEPTED = _rule("accept", "TOKEN-6", _T.VALID)

TOKEN_TABLE: Table[TokenState] = {
    _T.NONE: _row(_T.NONE, started=_FETCH, resumed=_FETCH),
    _T.FETCHING: _row(_T.FETCHING, acquired=_ACQUIRED, failed=_FAILED, refused=_REFUSED),
    _T.VALID: _row(
        _T.VALID,
        accepted=_ACCEPTED,
        rejected=_rule("renew_rejected", "TOKEN-6", _T.RENEWING, _T.REFUSED),
    ),
    _T.RENEWING: _row(_T.RENEWING, acquired=_ACQUIRED, failed=_FAILED, refused=_REFUSED),
    _T.WAITING: _row(_T.WAITING, acquired=_ACQUIRED, refused=_REFUSED),
    _T.REFUSED: _row(_T.REFUSED, resumed=_FETCH),
    _T.RESTING: _row(_T.RESTING, resumed=_FETCH),
}


class TokenMachine:
    """The life of the access token.

    Attributes:
        state: See TokenState.
        has_token: A token was issued and its life is not over.
        last_error: Why there is no fresh token; None once there is.
    """

    def __init__(self, config: PortalConfig, draw: Callable[[], float]) -> None:
        self.state = TokenState.NONE
        self.has_token = False
        self.last_error: PortalError | None = None
        self._draw = draw
        self._backoff = Backoff(1.0, 30.0)
        self._cap_before_expiry_s = config.backoff_cap_s
        self._renew_at: float | None = None
        self._expires_at: float | None = None
        self._retry_at: float | None = None
        self._rejection_count = 0
        self._patience = 1
        self._effects: list[FetchToken] = []
        self._actions: dict[str, Callable[[Any, float], None]] = {
            "ignore": lambda _event, _now: None,
            "fetch": self._fetch,
            "keep": self._keep,
            "retry": self._retry,
            "refuse": self._refuse,
            "accept": self._accept,
            "renew_rejected": self._renew_rejected,
            "rest": self._rest,
        }

    def handle(self, event: TokenEvent, now: float) -> list[FetchToken]:
        """Take a fact in; return the orders."""
        rule = TOKEN_TABLE[self.state][type(event)]
        self._actions[rule.action](event, now)
        return self._take_effects()

    def next_deadline(self) -> float | None:
        """Return when ``handle_timer`` wants to be called, or None."""
        return earliest(self._renew_at, self._expires_at, self._retry_at)

    def handle_timer(self, now: float) -> list[FetchToken]:
        """Act on every deadline that has passed."""
        if self._expires_at is not None and now >= self._expires_at:
            self._expires_at, self.has_token = None, False
        if self._renew_at is not None and now >= self._renew_at:
            self._renew_at = None
            self._order(TokenState.RENEWING)
        if self._retry_at is not None and now >= self._retry_at:
            self._order(TokenState.RENEWING if self.has_token else TokenState.FETCHING)
        return self._take_effects()

    def hurry(self, now: float) -> None:
        """Retry at the next timer: the machine slept, or the network is back."""
        if self._retry_at is not None:
            self._retry_at = now

    def _fetch(self, _event: object, _now: float) -> None:
        self._rejection_count = 0
        self.last_error = None
        self._order(TokenState.FETCHING)

    def _order(self, state: TokenState) -> None:
        self.state = state
        self._retry_at = None
        self._effects.append(FetchToken(state is TokenState.RENEWING, self._patience))

    def _keep(self, event: TokenAcquired, now: float) -> None:
        self.state = TokenState.VALID
        self.has_token = True
        self.last_error = None
        self._retry_at = self._renew_at = self._expires_at = None
        self._backoff.reset()
        self._patience = 1
        if event.life_s is not None:
            # TOKEN-3: at 50-80 % of its life, spread so that portals do not renew together.
            share = RENEW_FROM + RENEW_SPREAD * self._draw()
            self._renew_at = now + max(event.life_s * share, SHORTEST_RENEWAL_S)
            self._expires_at = now + max(event.life_s, 0.1)

    def _retry(self, event: TokenFailed, now: float) -> None:
        # TOKEN-4: for ever; a server that says how long to wait is obeyed.
        self.last_error = event.error
        self.state = TokenState.WAITING
        if isinstance(event.error, RequestTimeoutError):
            # TOKEN-8: asking again puts us at the end of the queue that was too long already.
            self._patience = min(self._patience + 1, MOST_PATIENCE)
        delay_s = min(self._backoff.next_delay_s(self._draw()), self._cap_before_expiry_s)
        asked_s = getattr(event.error, "retry_after_s", None) or 0.0
        self._retry_at = now + max(delay_s, asked_s)

    def _refuse(self, event: TokenRefused | TokenRejected, _now: float) -> None:
        self._clear(TokenState.REFUSED)
        self.last_error = event.error

    def _accept(self, _event: TokenAccepted, _now: float) -> None:
        self._rejection_count = 0

    def _renew_rejected(self, event: TokenRejected, now: float) -> None:
        # TOKEN-6: a server that refuses every fresh token will not be persuaded by more of them.
        self._rejection_count += 1
        if self._rejection_count >= REJECTION_LIMIT:
            self._refuse(event, now)
            return
        self.last_error = event.error
        self._renew_at = None
        self._order(TokenState.RENEWING)

    def _rest(self, _event: object, _now: float) -> None:
        self._clear(TokenState.RESTING)

    def _clear(self, state: TokenState) -> None:
        self.state = state
        self.has_token = False
        self._renew_at = self._expires_at = self._retry_at = None

    def _take_effects(self) -> list[FetchToken]:
        effects, self._effects = self._effects, []
        return effects
