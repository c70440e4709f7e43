"""PortalCore: the token, connection and sync machines as one pure machine.

It routes facts to the machine they concern, carries out the orders machines give each other, and
derives the public state. The driver, and every property test, talks to this class only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from portal_sdk._core.connection import ConnectionMachine
from portal_sdk._core.connection_table import ConnectionEvent, LinkState
from portal_sdk._core.deadlines import earliest
from portal_sdk._core.effects import (
    AskHead,
    AskPoll,
    CatchUp,
    Effect,
    OpenStore,
    PurgeStore,
    PushToken,
    RecallRows,
    RenewToken,
    ReportDeafDoorbell,
)
from portal_sdk._core.events import (
    Authorized,
    AuthRefused,
    ClockJumped,
    CloseAsked,
    DatabaseAnswered,
    DatabaseFailed,
    DoorbellDoubted,
    DoorbellJoined,
    DoorbellLost,
    DoorbellRang,
    Event,
    HeadAnswered,
    HeadWanted,
    HeartbeatAnswered,
    PauseAsked,
    PullAnswered,
    Rang,
    RequestFailed,
    ResumeAsked,
    RowsRecalled,
    ScopeFailed,
    ScopeMissing,
    ScopeResolved,
    ScopeRevoked,
    SnapshotAnswered,
    Started,
    StoreOpened,
    SyncStarted,
    SyncStopped,
    TokenAccepted,
    TokenAcquired,
    TokenFailed,
    TokenRefused,
    TokenRejected,
)
from portal_sdk._core.replica import Replica
from portal_sdk._core.sync import SyncMachine
from portal_sdk._core.sync_table import FeedState, SyncEvent
from portal_sdk._core.token import TokenEvent, TokenMachine, TokenState
from portal_sdk.config import PortalConfig
from portal_sdk.errors import (
    ApiKeyRejectedError,
    ConnectionLostError,
    PermissionDeniedError,
    PortalError,
    TokenExpiredError,
    TokenRejectedError,
)
from portal_sdk.types import Doorbell, SyncState

NO_SCOPE = ""
Answer = SnapshotAnswered | PullAnswered | HeadAnswered


class PortalCore:
    """Everything one portal decides, without doing any of it.

    Attributes:
        token_machine, connection, sync: The three parts; read only for observers.
        token: The newest access token, or None.
    """

    def __init__(self, config: PortalConfig, draw: Callable[[], float]) -> None:
        self.token_machine = TokenMachine(config, draw)
        self.connection = ConnectionMachine(config, draw)
        self.sync = SyncMachine(NO_SCOPE, config, draw)
        self.token: str | None = None
        self.user_id: str | None = None
        self._is_store_open = False
        self._has_recalled = False
        self._config = config
        self._draw = draw
        self._effects: list[Effect] = []

    # Public.

    @property
    def replica(self) -> Replica:
        """The rows to show."""
        return self.sync.replica

    @property
    def state(self) -> SyncState:
        """The one honest word about the rows (CONN-15)."""
        link = self.connection.state
        if link is LinkState.CLOSED:
            return SyncState.CLOSED
        if link is LinkState.BLOCKED or self.token_machine.state is TokenState.REFUSED:
            return SyncState.NEEDS_AUTH
        if link is LinkState.PAUSED:
            return SyncState.OFFLINE
        if self.connection.is_customer_missing:
            return SyncState.NEEDS_AUTH
        has_doorbell = link is LinkState.JOINED or self.connection.is_polling
        if has_doorbell and self.connection.database_failure_count == 0:
            return self._state_with_doorbell()
        return self._state_without_doorbell()

    @property
    def doorbell(self) -> Doorbell:
        """Which doorbell is in use now."""
        if self.connection.state is LinkState.JOINED:
            return self.connection.doorbell
        return "polling" if self.connection.is_polling else "none"

    @property
    def last_error(self) -> PortalError | None:
        """What stands in the way of being live; None while live."""
        return self.error_in(self.state)

    def error_in(self, state: SyncState) -> PortalError | None:
        """Return the same, given what ``state`` is now."""
        if state is SyncState.LIVE:
            return None
        return self.token_machine.last_error or self.connection.last_error or self.sync.last_error

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take a fact in at time ``now`` (seconds, monotonic); return the orders."""
        self._route(event, now)
        return self._take_effects()

    def next_deadline(self) -> float | None:
        """Return when ``handle_timer`` wants to be called, or None."""
        return earliest(
            self.token_machine.next_deadline(),
            self.connection.next_deadline(),
            self.sync.next_deadline(),
        )

    def handle_timer(self, now: float) -> list[Effect]:
        """Act on every deadline that has passed."""
        self._effects.extend(self.token_machine.handle_timer(now))
        self._carry_out(self.connection.handle_timer(now), now)
        self._carry_out(self.sync.handle_timer(now), now)
        return self._take_effects()

    # Routing.

    def _route(self, event: Event, now: float) -> None:
        match event:  # what happens for every change comes first
            case DoorbellRang():
                if event.generation == self.connection.generation:
                    self._tell_connection(event, now)
                    self._tell_sync(Rang(event.epoch, event.n, event.change), now)
            case PullAnswered() | SnapshotAnswered() | HeadAnswered():
                self._take_answer(event, now)
            case Started() | PauseAsked() | ResumeAsked() | CloseAsked() | ClockJumped():
                self._take_session(event, now)
            case TokenAcquired() | TokenFailed() | TokenRefused():
                self._take_token(event, now)
            case StoreOpened() | RowsRecalled():
                self._take_store(event, now)
            case ScopeResolved() | ScopeMissing() | ScopeFailed():
                self._take_scope(event, now)
            case DoorbellJoined() | DoorbellLost() | HeartbeatAnswered():
                self._tell_connection(event, now)
            case RequestFailed():
                self._take_failure(event, now)

    def _take_session(
        self, event: Started | PauseAsked | ResumeAsked | CloseAsked | ClockJumped, now: float
    ) -> None:
        match event:
            case ClockJumped():
                self.token_machine.hurry(now)
                self._tell_connection(event, now)
            case CloseAsked():
                self._tell_token(PauseAsked(), now)
                self._tell_connection(event, now)
                self._tell_sync(SyncStopped(), now)
            case PauseAsked():
                self._tell_token(event, now)
                self._tell_connection(event, now)
                self._tell_sync(SyncStopped(), now)
            case ResumeAsked():
                self._tell_connection(event, now)
                if self.connection.state is LinkState.IDLE:
                    self._tell_token(event, now)
                    if self.token_machine.has_token and self._is_store_open:
                        self._continue(now)  # blocked for another reason than the token
            case Started():
                self._tell_token(event, now)

    def _take_token(self, event: TokenAcquired | TokenFailed | TokenRefused, now: float) -> None:
        self._tell_token(event, now)
        if isinstance(event, TokenRefused):
            self._refuse(event.error, now)
        if isinstance(event, TokenFailed) and self.user_id is None and not self._has_recalled:
            self._has_recalled = True
            self._effects.append(RecallRows())
        if not isinstance(event, TokenAcquired) or self.token_machine.state is not TokenState.VALID:
            return
        self.token = event.token
        if event.user_id != self.user_id:
            # SYNC-18: rows of one user are never shown to another; SYNC-24: but kept for them.
            self._tell_connection(PauseAsked(), now)
            self._tell_connection(ResumeAsked(), now)
            self._change_scope(NO_SCOPE, now, keeps_store=True)
            self.user_id = event.user_id
            self._is_store_open = False
            self._effects.append(OpenStore(event.user_id))
        elif self._is_store_open:
            self._continue(now)

    def _continue(self, now: float) -> None:
        """There is a fresh token for the same user: go on where we were."""
        link = self.connection
        if link.state in {LinkState.OPENING, LinkState.JOINED}:
            self._effects.append(PushToken(link.generation, self.token or ""))
        scope = self.sync.scope or None
        self._tell_connection(Authorized(self.user_id or "", scope), now)
        if self.sync.state is FeedState.WAITING:
            self._tell_sync(SyncStarted(), now)

    def _take_store(self, event: StoreOpened | RowsRecalled, now: float) -> None:
        if isinstance(event, StoreOpened):
            if event.user_id not in {self.user_id, None}:
                return  # SYNC-18: somebody else's, who signed in a moment ago
            self._load(event, now)
            self._tell_connection(Authorized(self.user_id or "", event.scope), now)
        elif self.user_id is None:
            # SYNC-21: signing in is not possible now; show what this login saw last, as offline.
            self.user_id = event.user_id
            self._load(event.stored, now)

    def _load(self, event: StoreOpened, now: float) -> None:
        self._is_store_open = True
        if event.scope is None:
            return
        old, self.sync = self.sync, SyncMachine(event.scope, self._config, self._draw)
        self.sync.follow(old)
        if event.epoch is not None:
            loaded = self.sync.load(
                event.epoch, event.n, event.tables, event.fresh_as_of, event.known, event.forms
            )
            self._carry_out(loaded, now)

    def _take_scope(self, event: ScopeResolved | ScopeMissing | ScopeFailed, now: float) -> None:
        if event.request != self.connection.generation:
            return
        if isinstance(event, ScopeFailed) and self._take_auth_failure(event.error, now):
            pass
        elif isinstance(event, ScopeResolved) and event.scope != self.sync.scope:
            self._change_scope(event.scope, now)
        elif isinstance(event, ScopeMissing):
            self._change_scope(NO_SCOPE, now)
        self._tell_connection(event, now)

    def _take_answer(self, event: Answer, now: float) -> None:
        self._tell_token(TokenAccepted(), now)
        was_head = isinstance(event, HeadAnswered)
        self._tell_connection(DatabaseAnswered(was_head=was_head), now)
        self._tell_sync(event, now)

    def _take_failure(self, event: RequestFailed, now: float) -> None:
        was_head = event.request == self.sync.head_request
        if isinstance(event.error, PermissionDeniedError) and self.sync.is_awaiting(event.request):
            self._take_back(now)
            self._tell_connection(ScopeRevoked(event.error), now)
            return
        self._take_auth_failure(event.error, now)
        self._tell_connection(DatabaseFailed(was_head=was_head, error=event.error), now)
        self._tell_sync(event, now)

    def _take_auth_failure(self, error: PortalError, now: float) -> bool:
        if isinstance(error, ApiKeyRejectedError):
            self._refuse(error, now)
            return True
        if isinstance(error, (TokenRejectedError, TokenExpiredError)):
            self._reject_token(error, now)
            return self.token_machine.state is TokenState.REFUSED
        return False

    def _reject_token(self, error: PortalError, now: float) -> None:
        self._tell_token(TokenRejected(error), now)
        if self.token_machine.state is TokenState.REFUSED:
            self._refuse(error, now)

    def _refuse(self, error: PortalError, now: float) -> None:
        self._tell_token(PauseAsked(), now)
        self._tell_connection(AuthRefused(error), now)
        self._tell_sync(SyncStopped(), now)

    def _change_scope(self, scope: str, now: float, *, keeps_store: bool = False) -> None:
        """Show the rows of another scope: take the old ones back first."""
        if self.sync.scope == scope:
            return
        if self.sync.replica.epoch is not None:
            self._take_back(now, keeps_store=keeps_store)
        old = self.sync
        self.sync = SyncMachine(scope, self._config, self._draw)
        self.sync.follow(old)

    def _take_back(self, now: float, *, keeps_store: bool = False) -> None:
        if not keeps_store:
            self._effects.append(PurgeStore())
        self._carry_out(self.sync.take_back(), now)

    # Between the machines.

    def _tell_token(self, event: TokenEvent, now: float) -> None:
        self._effects.extend(self.token_machine.handle(event, now))

    def _tell_connection(self, event: ConnectionEvent, now: float) -> None:
        self._carry_out(self.connection.handle(event, now), now)

    def _tell_sync(self, event: SyncEvent, now: float) -> None:
        self._carry_out(self.sync.handle(event, now), now)

    def _carry_out(
        self,
        effects: Iterable[Effect | AskHead | AskPoll | CatchUp | RenewToken | ReportDeafDoorbell],
        now: float,
    ) -> None:
        for effect in effects:
            match effect:
                case AskHead():
                    self._tell_sync(HeadWanted(), now)
                case AskPoll():
                    self._tell_sync(Rang(), now)
                case CatchUp():
                    self._tell_sync(SyncStarted(), now)
                case RenewToken():
                    self._reject_token(effect.error, now)
                case ReportDeafDoorbell():
                    error = ConnectionLostError(
                        "A change came without a ring; the realtime socket is opened anew"
                    )
                    self._tell_connection(DoorbellDoubted(error), now)
                case _:
                    self._effects.append(effect)

    def _state_with_doorbell(self) -> SyncState:
        if self.sync.state is FeedState.WAITING:
            return SyncState.STALE
        if self.sync.is_caught_up:
            return SyncState.LIVE if self.connection.is_verified else SyncState.STALE
        if self.connection.is_polling and not self.connection.is_verified and self.replica.epoch:
            return SyncState.STALE  # CONN-12: nothing has answered yet
        return SyncState.CATCHING_UP

    def _state_without_doorbell(self) -> SyncState:
        link = self.connection
        is_unreachable = link.failure_count > 0 or self.token_machine.last_error is not None
        if is_unreachable and not link.is_verified:
            return SyncState.OFFLINE
        if link.database_failure_count > 0 and link.failure_count > 0:
            return SyncState.OFFLINE
        return SyncState.CONNECTING if self.replica.epoch is None else SyncState.STALE

    def _take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects
