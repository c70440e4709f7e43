"""ConnectionMachine: the doorbell's socket, its generations, and the proof of life.

Pure. One generation is one socket with one join; on any doubt the generation is thrown away and a
new one opened. It never gives up. The rules (CONN-n) are in docs/protocol/connection.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from portal_sdk._core.backoff import Backoff
from portal_sdk._core.choice import DoorbellChoice
from portal_sdk._core.connection_table import CONNECTION_TABLE, ConnectionEvent, LinkState
from portal_sdk._core.effects import (
    AskHead,
    AskPoll,
    CatchUp,
    CloseDoorbell,
    OpenDoorbell,
    RenewToken,
    ResolveScope,
    SendHeartbeat,
)
from portal_sdk._core.events import (
    Authorized,
    AuthRefused,
    DatabaseAnswered,
    DatabaseFailed,
    DoorbellDoubted,
    DoorbellJoined,
    DoorbellLost,
    DoorbellRang,
    HeartbeatAnswered,
    LossKind,
    ScopeFailed,
    ScopeMissing,
    ScopeResolved,
    ScopeRevoked,
)
from portal_sdk.config import PortalConfig
from portal_sdk.errors import HeartbeatTimeoutError, JoinTimeoutError, PortalError
from portal_sdk.types import DoorbellKind

ConnectionEffect = (
    AskHead
    | AskPoll
    | CatchUp
    | CloseDoorbell
    | OpenDoorbell
    | RenewToken
    | ResolveScope
    | SendHeartbeat
)

VERIFY_SHARE = 2 / 3
"""The head is asked for at this share of the verify interval, so the answer has time to come."""
OPENS_PER_WINDOW = 5
OPEN_WINDOW_S = 5.0
MISSING_CUSTOMER_RETRY_S = 30.0


class ConnectionMachine:
    """One portal's link to the server.

    Attributes:
        state: See LinkState.
        scope: The feed scope, once it is known.
        generation: Number of the present socket.
        open_count: Sockets opened so far.
        doorbell: Kind of the present doorbell.
        is_polling: No socket could be had; the database is read on a timer instead.
        is_verified: The database answered within the verify interval.
        is_customer_missing: The user was no customer when last asked; it is asked again.
        failure_count: Failed attempts in a row.
        database_failure_count: Failed database requests in a row.
        last_error: What failed last; None while joined without complaint.
    """

    def __init__(self, config: PortalConfig, draw: Callable[[], float]) -> None:
        self.state = LinkState.IDLE
        self.scope: str | None = None
        self.generation = 0
        self.open_count = 0
        self.is_polling = False
        self.is_verified = False
        self.is_customer_missing = False
        self.failure_count = 0
        self.database_failure_count = 0
        self.last_error: PortalError | None = None
        self._config = config
        self._draw = draw
        self._user_id = ""
        self._is_scope_doubted = False
        self.doorbell: DoorbellKind = "broadcast"
        self._choice = DoorbellChoice(config.doorbells, config.doorbell_return_s)
        self._backoff = Backoff(config.backoff_base_s, config.backoff_cap_s)
        self._verify_backoff = Backoff(config.backoff_base_s, config.backoff_cap_s)
        self._opened: deque[float] = deque(maxlen=OPENS_PER_WINDOW)
        self._deadlines: dict[str, float] = {}
        self._effects: list[ConnectionEffect] = []
        self._timers: dict[str, Callable[[float], None]] = {
            "unverified": self._on_unverified,
            "stable": self._on_stable,
            "join": self._on_join_timeout,
            "beat": self._on_beat_due,
            "beat_answer": self._on_beat_missing,
            "retry": self._begin_again,
            "verify": self._on_verify_due,
            "poll": self._on_poll_due,
            "return": self._on_return_due,
        }
        self._actions: dict[str, Callable[[Any, float], None]] = {
            "ignore": lambda _event, _now: None,
            "begin": self._begin,
            "block": self._block,
            "identify": self._identify,
            "await_customer": self._await_customer,
            "fail_identity": self._fail_identity,
            "revoke": self._revoke,
            "join": self._join,
            "lose": self._lose,
            "doubt": self._doubt,
            "note_beat": self._note_beat,
            "note_ring": self._note_ring,
            "note_answer": self._note_answer,
            "note_failure": self._note_failure,
            "probe": self._probe,
            "hurry": self._hurry,
            "retry_if_token": self._hurry,
            "pause": self._pause,
            "resume": self._resume,
            "close": self._close,
        }

    # Public.

    @property
    def verified_until(self) -> float | None:
        """When what the database answered last is too old to be live (CONN-10), or None."""
        return self._deadlines.get("unverified")

    def handle(self, event: ConnectionEvent, now: float) -> list[ConnectionEffect]:
        """Take a fact in at time ``now`` (seconds, monotonic); return the orders."""
        if self._is_outdated(event):
            return []
        rule = CONNECTION_TABLE[self.state][type(event)]
        self._actions[rule.action](event, now)
        return self._take_effects()

    def next_deadline(self) -> float | None:
        """Return when ``handle_timer`` wants to be called, or None."""
        return min(self._deadlines.values(), default=None)

    def handle_timer(self, now: float) -> list[ConnectionEffect]:
        """Act on every deadline that has passed."""
        for name, action in self._timers.items():
            at = self._deadlines.get(name)
            if at is not None and now >= at:
                del self._deadlines[name]
                action(now)
        return self._take_effects()

    # Actions of the table.

    def _begin(self, event: Authorized, now: float) -> None:
        self._user_id = event.user_id
        self.scope = event.scope
        self.last_error = None
        self._begin_again(now)

    def _begin_again(self, now: float) -> None:
        self._clear("retry")
        if self.scope is None or self._is_scope_doubted:
            self.state = LinkState.IDENTIFYING
            self.generation += 1
            self._effects.append(ResolveScope(self.generation, self._user_id))
        else:
            self._open(now)

    def _open(self, now: float) -> None:
        kind = self._choice.kind
        if kind is None:
            self._poll_only(now)
            return
        # CONN-7: at most five sockets in any five seconds, whatever the back-off says.
        if len(self._opened) == OPENS_PER_WINDOW and now < self._opened[0] + OPEN_WINDOW_S:
            self.state = LinkState.WAITING
            self._deadlines["retry"] = self._opened[0] + OPEN_WINDOW_S
            return
        self._opened.append(now)
        self.open_count += 1
        self.generation += 1
        self.state = LinkState.OPENING
        self.doorbell = kind
        self._deadlines["join"] = now + self._config.join_timeout_s
        self._deadlines.setdefault("verify", now + self._verify_pause_s())
        self._effects.append(OpenDoorbell(self.generation, self.scope or "", kind))

    def _identify(self, event: ScopeResolved, now: float) -> None:
        self.scope = event.scope
        self.is_customer_missing = self._is_scope_doubted = False
        self._open(now)

    def _await_customer(self, event: ScopeMissing, now: float) -> None:
        self._rest(LinkState.BLOCKED)
        self.is_customer_missing = True
        self.scope = None
        self.last_error = event.error
        self._deadlines["retry"] = now + MISSING_CUSTOMER_RETRY_S

    def _fail_identity(self, event: ScopeFailed, now: float) -> None:
        self._wait(event.error, now)

    def _join(self, _event: DoorbellJoined, now: float) -> None:
        self._clear("join", "poll")
        self.state = LinkState.JOINED
        self.is_polling = False
        self.failure_count = 0
        self.last_error = None
        self._deadlines["stable"] = now + self._config.stable_after_s
        self._deadlines["beat"] = now + self._config.heartbeat_interval_s
        if (pause_s := self._choice.return_pause_s()) is not None:
            self._deadlines["return"] = now + pause_s
        self._effects.append(CatchUp())

    def _lose(self, event: DoorbellLost, now: float) -> None:
        self._effects.append(CloseDoorbell(self.generation))
        if event.kind is LossKind.TOKEN:
            self._effects.append(RenewToken(event.error))
        if event.kind is LossKind.DENIED:
            self._is_scope_doubted = True  # CONN-12: ask again who the customer is
        if event.kind in {LossKind.CHANNEL, LossKind.DENIED}:
            self._choice.complain()
        at_least_s = 0.0
        if event.kind is LossKind.RATE_LIMITED:
            at_least_s = self._config.rate_limit_wait_s * (0.5 + 0.5 * self._draw())
        self._wait(event.error, now, at_least_s=at_least_s)

    def _doubt(self, event: DoorbellDoubted, now: float) -> None:
        self._choice.complain()
        self._effects.append(CloseDoorbell(self.generation))
        self._wait(event.error, now)

    def _revoke(self, event: ScopeRevoked, now: float) -> None:
        if self.state in {LinkState.OPENING, LinkState.JOINED}:
            self._effects.append(CloseDoorbell(self.generation))
        self.scope = None
        self.is_verified = False
        self._clear("verify", "unverified")
        self._wait(event.error, now)

    def _note_beat(self, _event: HeartbeatAnswered, now: float) -> None:
        self._clear("beat_answer")
        self._deadlines["beat"] = now + self._config.heartbeat_interval_s

    def _note_ring(self, event: DoorbellRang, _now: float) -> None:
        if event.n is not None:
            self._choice.praise()

    def _note_answer(self, event: DatabaseAnswered, now: float) -> None:
        self.is_verified = True
        self.database_failure_count = 0
        self._deadlines["unverified"] = now + self._config.verify_interval_s
        if event.was_head:
            self._verify_backoff.reset()
            self._deadlines["verify"] = now + self._verify_pause_s()

    def _note_failure(self, event: DatabaseFailed, now: float) -> None:
        self.database_failure_count += 1
        if event.was_head:
            self._deadlines["verify"] = now + self._verify_backoff.next_delay_s(self._draw()) + 0.1

    def _probe(self, _event: object, now: float) -> None:
        # CONN-11: after a sleep nothing is known until both paths have answered again.
        self.is_verified = False
        self._deadlines["beat"] = self._deadlines["verify"] = now

    def _hurry(self, _event: object, now: float) -> None:
        if self._deadlines.get("retry", now) > now:
            self._deadlines["retry"] = now

    def _pause(self, _event: object, _now: float) -> None:
        self._rest(LinkState.PAUSED)

    def _resume(self, _event: object, _now: float) -> None:
        self._rest(LinkState.IDLE)
        self.is_customer_missing = False
        self.last_error = None

    def _block(self, event: AuthRefused, _now: float) -> None:
        self._rest(LinkState.BLOCKED)
        self.last_error = event.error

    def _close(self, _event: object, _now: float) -> None:
        self._rest(LinkState.CLOSED)

    # Timers.

    def _on_unverified(self, _now: float) -> None:
        self.is_verified = False  # CONN-10

    def _on_stable(self, _now: float) -> None:
        self._backoff.reset()  # CONN-7: only a stable while forgives

    def _on_join_timeout(self, now: float) -> None:
        error = JoinTimeoutError("The server did not answer the channel join in time")
        self._lose(DoorbellLost(self.generation, LossKind.NETWORK, error), now)

    def _on_beat_due(self, now: float) -> None:
        self._deadlines["beat_answer"] = now + self._config.heartbeat_timeout_s
        self._effects.append(SendHeartbeat(self.generation))

    def _on_beat_missing(self, now: float) -> None:
        error = HeartbeatTimeoutError("The realtime server stopped answering on an open socket")
        self._lose(DoorbellLost(self.generation, LossKind.NETWORK, error), now)

    def _on_verify_due(self, now: float) -> None:
        # Asked again at the latest after one more interval, should no answer ever come.
        self._deadlines["verify"] = now + self._config.verify_interval_s
        self._effects.append(AskHead())

    def _on_poll_due(self, now: float) -> None:
        self._deadlines["poll"] = now + self._config.poll_interval_s
        self._effects.append(AskPoll())

    def _on_return_due(self, now: float) -> None:
        # CONN-16: a better doorbell may work again by now.
        self._choice.go_back()
        self._effects.append(CloseDoorbell(self.generation))
        self._clear("beat", "beat_answer", "stable")
        self._open(now)

    # Steps.

    def _poll_only(self, now: float) -> None:
        self._deadlines.setdefault("verify", now + self._verify_pause_s())
        self.state = LinkState.WAITING
        self._start_polling(now)

    def _wait(self, error: PortalError, now: float, *, at_least_s: float = 0.0) -> None:
        self._clear("join", "beat", "beat_answer", "stable", "return")
        self.state = LinkState.WAITING
        self.last_error = error
        self.failure_count += 1
        delay_s = max(at_least_s, self._backoff.next_delay_s(self._draw()))
        self._deadlines["retry"] = now + delay_s
        self._consider_polling(now)

    def _consider_polling(self, now: float) -> None:
        # CONN-12: without a scope there is nothing to poll.
        if self.scope is None:
            self.is_polling = False
            self._clear("poll")
        elif not self.is_polling and self.failure_count >= self._config.poll_after_failures:
            self._start_polling(now)

    def _start_polling(self, now: float) -> None:
        # CONN-12: an answer from before the doorbell fell silent says nothing of what came since.
        self.is_polling = True
        self.is_verified = False
        self._clear("unverified")
        self._deadlines["poll"] = now + self._config.poll_interval_s
        self._effects.append(CatchUp())

    def _rest(self, state: LinkState) -> None:
        if self.state in {LinkState.OPENING, LinkState.JOINED}:
            self._effects.append(CloseDoorbell(self.generation))
        self._deadlines.clear()
        self.generation += 1
        self.state = state
        self.is_polling = self.is_verified = False
        self.failure_count = self.database_failure_count = 0

    def _verify_pause_s(self) -> float:
        return self._config.verify_interval_s * VERIFY_SHARE

    def _clear(self, *names: str) -> None:
        for name in names:
            self._deadlines.pop(name, None)

    def _is_outdated(self, event: ConnectionEvent) -> bool:
        """CONN-1: only facts about the present generation or question count."""
        match event:
            case DoorbellJoined() | DoorbellLost() | DoorbellRang() | HeartbeatAnswered():
                return event.generation != self.generation
            case ScopeResolved() | ScopeMissing() | ScopeFailed():
                return event.request != self.generation
            case _:
                return False

    def _take_effects(self) -> list[ConnectionEffect]:
        effects, self._effects = self._effects, []
        return effects
