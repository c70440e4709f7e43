"""Portal: the public face of the SDK."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from portal_sdk._arguments import check_api_key, check_kinds, parse_project_url
from portal_sdk._core.effects import PublishChanges
from portal_sdk._core.events import CloseAsked, PauseAsked, ResumeAsked, Started
from portal_sdk._core.overlay import Overlay, Shift
from portal_sdk._core.replica import Replica
from portal_sdk._core.session import PortalCore
from portal_sdk._desk import RESTING, WriteDesk
from portal_sdk._publisher import Publisher
from portal_sdk._runtime.delivery import Stream, Subscribers
from portal_sdk._runtime.doorbells import RealtimeTransport
from portal_sdk._runtime.driver import Driver
from portal_sdk._runtime.http import HttpApi
from portal_sdk._runtime.http_pool import PooledHttp
from portal_sdk._runtime.releases import note_release, wait_for_release
from portal_sdk._runtime.room_hub import RoomHub
from portal_sdk._runtime.server_clock import ServerClock
from portal_sdk._runtime.threads import check_loop
from portal_sdk._runtime.tokens import Auth
from portal_sdk._runtime.transport import Transport
from portal_sdk._status import StatusBoard, is_ready, outlived
from portal_sdk._store import MemoryStore, SqliteStore, Store
from portal_sdk.config import PortalConfig
from portal_sdk.errors import (
    ConfigurationError,
    PortalClosedError,
    PortalError,
    ReadyTimeoutError,
    StateError,
)
from portal_sdk.metrics import MetricsRecorder, PortalMetrics
from portal_sdk.models import Customer, Invoice
from portal_sdk.rooms import BroadcastRoom, PresenceRoom, check_room_name
from portal_sdk.tables import LiveTable
from portal_sdk.types import Change, Row, SyncState, SyncStatus
from portal_sdk.writable import Jobs, Loyalty, Messages, Profile
from portal_sdk.writes import Outbox

logger = logging.getLogger("portal_sdk")
CallbackT = TypeVar("CallbackT", bound=Callable[..., Any])
STATUS_CAPACITY = 64


class Portal:
    """One signed-in customer's live data.

    Use it as an async context manager. Reading works at every moment; ``status`` says how fresh
    the rows are, and works in any thread. Everything else belongs to the event loop that entered
    the portal.

    Args:
        url: The project URL, such as ``https://<ref>.supabase.co``.
        key: The project's publishable (or anon) key.
        auth: How to sign in: ``PasswordAuth`` or ``TokenAuth``.
        store: Path of a file that keeps the rows between runs; None keeps them in memory.
        config: Durations and limits.

    Raises:
        ConfigurationError: An argument cannot be right.
    """

    jobs: Jobs
    invoices: LiveTable[Invoice]
    messages: Messages
    loyalty: Loyalty
    profile: Profile
    outbox: Outbox

    def __init__(
        self,
        url: str,
        key: str,
        *,
        auth: Auth,
        store: str | Path | None = None,
        config: PortalConfig | None = None,
    ) -> None:
        if not callable(getattr(auth, "token_source", None)):
            raise ConfigurationError("auth must be PasswordAuth(...) or TokenAuth(...)")
        check_kinds(store, config)
        self._url = parse_project_url(url)
        self._key = check_api_key(key)
        self._auth = auth
        self._config = config or PortalConfig()
        self._store: Store = MemoryStore() if store is None else SqliteStore(store)
        self._core = PortalCore(self._config, random.random)
        self._callback_tasks: set[asyncio.Task[Any]] = set()
        self._changes: Subscribers[Change[Any]] = self._subscribers()
        self._statuses: Subscribers[SyncStatus] = Subscribers(
            STATUS_CAPACITY, self._callback_tasks, forget_oldest=True
        )
        self._clock = ServerClock()
        self._recorder = MetricsRecorder(self._clock)
        self._desk = WriteDesk(
            self._core, self._config, self._url, record=self._record,
            refusals=self._subscribers(), publish=self._publish_local,
            progressed=self.progressed, recorder=self._recorder, clock=self._clock,
        )  # fmt: skip
        self.outbox = self._desk.outbox
        self._rooms = RoomHub(self._url, self._key, self._config, self._desk.poke_feed)
        self._tables = self._create_tables()
        self._publisher = Publisher(
            self._tables, self._changes, self._desk.overlay, lambda: self._core.replica.n,
            self._recorder,
        )  # fmt: skip
        self._loaded: Replica | None = None
        self._load_count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._driver: Driver | None = None
        self._driver_task: asyncio.Task[None] | None = None
        self._board = StatusBoard()

    def __repr__(self) -> str:
        return f"<Portal {self._url} {self.status.state}>"

    # Life.

    async def __aenter__(self) -> Self:
        await wait_for_release(self._store, self._config.close_timeout_s)
        if self._driver is not None:
            raise StateError("A portal is entered once; make a new one")
        if self._board.state is SyncState.CLOSED:
            raise PortalClosedError("The portal is closed; make a new one")
        self._loop = asyncio.get_running_loop()
        tokens = self._auth.token_source()
        self._store.lock()
        http = self._create_http()
        self._desk.start(http, self._store)
        self._driver = Driver(
            self._core, self._config, project=self._url, http=http, tokens=tokens,
            transport=self._create_transport(), store=self._store, observer=self,
        )  # fmt: skip
        self._desk.connect(self._driver.post)
        self._driver.post(Started())
        self._driver_task = asyncio.create_task(self._run(self._driver), name="portal-driver")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the portal: sockets, tasks and store; streams end. Calling it twice is harmless.

        Cancellation:
            Safe; the store is released all the same, and who enters a portal on it waits for that.
            Callbacks that still run are ended by the next call.
        """
        driver, task = self._driver, self._driver_task
        if driver is None or task is None:
            if self._board.state is not SyncState.CLOSED:  # before it was entered: final, too
                self._end()
            return
        check_loop(self._loop)
        driver.handle_now(CloseAsked())
        note_release(self._store, task)
        await asyncio.wait([task])
        others = self._callback_tasks - {asyncio.current_task()}  # a callback may close the portal
        for callback_task in others:
            callback_task.cancel()
        if others:
            await asyncio.wait(others, timeout=self._config.close_timeout_s)

    async def ready(self, *, timeout_s: float = 10.0) -> None:
        """Wait until the snapshot is applied and the feed is live.

        Args:
            timeout_s: Seconds to wait; the portal goes on trying afterwards.

        Raises:
            AuthError: Signing in was refused; says what to do.
            ReadyTimeoutError: Not live in time; its cause is what stands in the way.
            PortalClosedError: The portal is closed or was never entered.

        Cancellation:
            Safe.
        """
        if self._driver is None:
            if self._board.state is SyncState.CLOSED:
                raise PortalClosedError("The portal is closed; make a new one")
            raise PortalClosedError("Enter the portal first: async with Portal(...) as portal")
        check_loop(self._loop)
        stream = self._statuses.stream()
        try:
            async with asyncio.timeout(timeout_s):
                while not is_ready(self._board.read()):
                    await anext(stream, None)
        except TimeoutError:
            status = self._board.read()
            reason = status.last_error or "no answer yet"
            raise ReadyTimeoutError(
                f"Not live after {timeout_s:g} s ({status.state}): {reason}", state=status.state
            ) from status.last_error

    def pause(self) -> None:
        """Close the connection because the app is in the background; rows stay readable.

        The portal is ``offline`` when this returns.
        """
        self._ask(PauseAsked())

    def resume(self) -> None:
        """Connect again after ``pause``, or try once more after ``needs_auth``."""
        self._ask(ResumeAsked())

    # Reading.

    @property
    def customer(self) -> Customer:
        """The signed-in customer.

        Raises:
            StateError: Nothing was read yet; await ``ready`` first.
        """
        record = self.profile.record
        if record is None:
            raise StateError("The customer is not known yet: await portal.ready() first")
        return record

    @property
    def status(self) -> SyncStatus:
        """How fresh the rows are, at this moment: also right after the event loop was blocked."""
        status = self._board.read()
        if status.state is SyncState.LIVE and self._driver is not None:
            overdue_s = self._driver.overdue_s()
            return status if overdue_s is None else outlived(status, overdue_s)
        return status

    @property
    def metrics(self) -> PortalMetrics:
        """Counters and latencies since the portal was opened, as of this moment."""
        core = self._core
        subscribers = [self._changes, *(table.subscribers for table in self._tables.values())]
        return self._recorder.freeze(
            sockets_opened=core.connection.open_count,
            resyncs=core.sync.resync_count,
            gaps=core.sync.gap_count,
            callback_errors=sum(each.error_count for each in subscribers),
            pending=self._desk.runner.machine.pending_count,
        )

    def statuses(self) -> Stream[SyncStatus]:
        """Return an async iterator over every status from now on; a slow reader misses old ones."""
        return self._statuses.stream()

    def changes(self) -> Stream[Change[Any]]:
        """Return an async iterator over the changes of all tables from now on, in feed order.

        Raises (while iterating):
            SlowConsumerError: The reader fell ``queue_capacity`` changes behind.

        Cancellation:
            Safe; no change is lost.
        """
        return self._changes.stream()

    def on_change(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(change)`` for each change of any table.

        An async function runs in the event loop; a plain one in a thread of its own, so that it
        may block without harming anybody else. Calls of one callback never overlap.
        """
        self._changes.add_callback(callback, lambda change: (change,), "change")
        return callback

    # Rooms.

    def presence(self, room: str, meta: Row | None = None) -> PresenceRoom:
        """Return a room that shows who is in it; enter it with ``async with``.

        Args:
            room: Name, 1 to 64 letters, digits, dots, dashes or underscores. The room is private
                to this customer's devices and the staff.
            meta: What the others see of us; None only watches.

        Raises:
            ConfigurationError: The name or ``meta`` is not usable.
            StateError: The customer is not known yet, or the portal is closed.
            JoinRejectedError, ChannelError: While entering: refused, or not joined in time.
        """
        topic = f"{self._desk.scope}:{check_room_name(room)}"
        return PresenceRoom(self._rooms, topic, room, self._core.user_id or "", meta)

    def broadcast(self, room: str, *, hears_self: bool = False) -> BroadcastRoom:
        """Return a room for quick messages that are not stored; enter it with ``async with``.

        Args:
            room: Name, as for ``presence``.
            hears_self: Whether our own messages come back to us.

        Raises:
            ConfigurationError: The name is not usable.
            StateError: The customer is not known yet, or the portal is closed.
            JoinRejectedError, ChannelError: While entering: refused, or not joined in time.
        """
        topic = f"{self._desk.scope}:{check_room_name(room)}"
        key = self._core.user_id or ""
        return BroadcastRoom(self._rooms, topic, room, key, hears_self=hears_self)

    # Observer of the driver.

    def changes_applied(self, effect: PublishChanges) -> None:
        """Hand committed changes to the subscribers."""
        self._publisher.publish_feed(effect, self._desk.runner)

    def progressed(self) -> None:
        """Recompute the status after an event."""
        core, board = self._core, self._board
        state, replica = core.state, core.replica
        if replica is not self._loaded or replica.load_count != self._load_count:
            self._loaded, self._load_count = replica, replica.load_count
            for table in self._tables.values():
                table.reset_views()
        self._rooms.steer(core.token, is_resting=core.connection.state in RESTING)
        driver, runner = self._driver, self._desk.runner
        old_state = board.state
        has_become_live = state is SyncState.LIVE and old_state is not SyncState.LIVE
        self._desk.steer(has_become_live, is_telling=bool(driver and driver.is_telling))
        rows_error = driver.store_error if driver else None
        new = board.write(
            core, state, store_error=rows_error or runner.store_error,
            pending_writes=runner.machine.pending_count,
        )  # fmt: skip
        if new is None:
            return
        if state is not old_state:
            self._recorder.status_changes += 1
            logger.info("Portal is %s (was %s)", state, old_state)
        self._statuses.push(new)

    # Private.

    async def _run(self, driver: Driver) -> None:
        try:
            await driver.run()
        except Exception as error:
            logger.exception("The portal stopped because of a bug in the SDK")
            self._core.sync.last_error = PortalError(f"Internal error: {type(error).__name__}")
        finally:
            await self._rooms.close()
            await self._desk.close()
            await driver.release()
            self._end()

    def _end(self) -> None:
        self._statuses.push(self._board.close(self._core.sync.last_error))
        self._changes.close()
        self._statuses.close()
        for table in self._tables.values():
            table.close()

    def _ask(self, event: PauseAsked | ResumeAsked) -> None:
        if self._driver is None or self._board.state is SyncState.CLOSED:
            raise PortalClosedError("The portal is closed, or was never entered")
        check_loop(self._loop)
        self._driver.handle_now(event)

    def _create_http(self) -> HttpApi:
        pool = PooledHttp(self._url, self._key, timeout_s=self._config.request_timeout_s)
        return HttpApi(pool, self._url, self._clock)

    def _create_transport(self) -> Transport:
        return RealtimeTransport(self._url, self._key, self._config)

    def _subscribers(self) -> Subscribers[Any]:
        return Subscribers(self._config.queue_capacity, self._callback_tasks)

    def _create_tables(self) -> dict[str, LiveTable[Any]]:
        new, writer = self._subscribers, self._desk
        self.jobs = Jobs(self._rows, new(), writer)
        self.invoices = LiveTable("invoices", Invoice, self._rows, new())
        self.messages = Messages(self._rows, new(), writer)
        self.loyalty = Loyalty(self._rows, new(), writer)
        self.profile = Profile(self._rows, new(), writer)
        tables = (self.jobs, self.invoices, self.messages, self.loyalty, self.profile)
        return {table.name: table for table in tables}

    def _publish_local(self, shifts: list[Shift]) -> None:
        self._publisher.publish_local(shifts)

    def _rows(self) -> Overlay:
        return self._desk.overlay

    def _record(self, table: str, row_id: str) -> Any:
        return self._tables[table].get(row_id)
