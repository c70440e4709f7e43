"""The single owner of a portal's state: inbox -> core -> effects -> deadlines.

Nothing else touches the core. An effect never waits for the network here: it starts a named task
whose outcome comes back through the inbox, or directly while the driver sleeps (``arrive``).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.session import PortalCore
from portal_sdk._runtime.alarm import Alarm
from portal_sdk._runtime.announcer import Announcer
from portal_sdk._runtime.feed_reader import FeedReader, surprise
from portal_sdk._runtime.http import HttpApi
from portal_sdk._runtime.rest import DatabaseApi
from portal_sdk._runtime.store_keeper import StoreKeeper
from portal_sdk._runtime.tokens import TokenSource
from portal_sdk._runtime.transport import DoorbellLink, Transport
from portal_sdk._store import Store
from portal_sdk.config import PortalConfig
from portal_sdk.errors import AuthError, PortalError, RequestTimeoutError, StoreError

logger = logging.getLogger("portal_sdk")
CLOCK_JUMP_S = 5.0
CLOCK_LOOK_S = 3.0
"""After a sleep of the machine this much of being awake passes at most before it is noticed."""


FINISHED_ON_CLOSE = ("portal-close", "portal-remember-login")
"""Tasks that closing waits for: else a short session would not be known offline (SYNC-21)."""


class Observer(Protocol):
    """Told what the driver did; every method only enqueues."""

    def changes_applied(self, effect: do.PublishChanges) -> None:
        """Rows changed; they are committed already."""

    def progressed(self) -> None:
        """An event was handled; the state may be another one."""


class Driver:
    """Runs one PortalCore until it is closed."""

    def __init__(
        self, core: PortalCore, config: PortalConfig, *, project: str, http: HttpApi,
        tokens: TokenSource, transport: Transport, store: Store, observer: Observer,
    ) -> None:  # fmt: skip
        self._core = core
        self._config = config
        self._http = http
        self._tokens = tokens
        self._transport = transport
        self._rows = StoreKeeper(
            store, project, tokens, post=self.post, start=self._start,
            everything=lambda: core.sync.snapshot_commit(),  # noqa: PLW0108 - sync is replaced
            progressed=observer.progressed,
        )  # fmt: skip
        self._reader = FeedReader(
            core, DatabaseApi(http), self._rows, config.request_timeout_s,
            post=self.post, arrive=self.arrive, start=self._start,
        )  # fmt: skip
        self._observer = observer
        self._inbox: deque[ev.Event] = deque()
        self._announcer = Announcer(observer.changes_applied)
        self._waiter: asyncio.Future[None] | None = None
        self._alarm = Alarm(self._wake)
        self._bug: Exception | None = None
        self._links: dict[int, DoorbellLink] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._token_task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._is_performing = self._is_in_midst = False
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clock_offset_s: float | None = None
        self._clock_timer: asyncio.TimerHandle | None = None
        self._performers: dict[type, Callable[[Any], None]] = {
            do.FetchToken: self._fetch_token,
            do.PushToken: self._push_token,
            do.OpenStore: self._rows.open,
            do.RecallRows: self._rows.recall,
            do.CommitRows: self._rows.commit,
            do.PurgeStore: self._rows.purge,
            do.ResolveScope: self._reader.resolve_scope,
            do.OpenDoorbell: self._open_doorbell,
            do.CloseDoorbell: self._close_doorbell,
            do.SendHeartbeat: self._send_heartbeat,
            do.RequestSnapshot: self._reader.request_snapshot,
            do.RequestPull: self._reader.request_pull,
            do.RequestHead: self._reader.request_head,
            do.PublishChanges: self._announcer.publish,
        }

    @property
    def is_telling(self) -> bool:
        """Whether some changes that the tables show are yet to be told."""
        return self._is_in_midst or self._announcer.has_more

    @property
    def store_error(self) -> StoreError | None:
        """Why rows are not kept on disk, or None."""
        return self._rows.error

    def post(self, event: ev.Event) -> None:
        """Put a fact into the inbox; never waits."""
        self._inbox.append(event)
        self._wake()

    def arrive(self, event: ev.Event) -> None:
        """Take in a fact from the network: at once, if nothing comes before it.

        The driver's task would do the same a turn of the loop later. Never waits and never raises;
        for callers with nothing left to do.
        """
        loop = self._loop
        if loop is None or not self._is_asleep or self._is_performing:
            self.post(event)
            return
        try:
            self._note_clock(loop.time())
            self._handle(event)
        except Exception as error:  # noqa: BLE001 - raised by run(), which ends the portal
            self._bug = error
        self._alarm.set(self._core.next_deadline())
        if self._bug is not None or self._is_closing or self._announcer.has_more:
            self._wake()

    def handle_now(self, event: ev.Event) -> None:
        """Handle what is in the inbox and then this event, before returning.

        For what the application asks: when ``pause()`` has returned, nothing may call itself live.
        Within an order that is being carried out the event waits in the inbox.
        """
        self.post(event)
        while not (self._is_performing or self._is_closing):
            if self._announcer.has_more:
                self._tell_some()
            elif self._inbox:
                self._handle(self._inbox.popleft())
            else:
                break

    async def run(self) -> None:
        """Own the core until CloseAsked was handled."""
        self._loop = loop = asyncio.get_running_loop()
        self._look_at_clock()
        while not self._is_closing:
            if self._bug is not None:
                raise self._bug
            if self._announcer.has_more:
                self._tell_some()
                await asyncio.sleep(0)  # subscribers read, and others have their turn
                continue
            deadline = self._core.next_deadline()
            now = loop.time()
            if deadline is not None and deadline <= now:
                self._perform(self._core.handle_timer(now))
                continue
            event = await self._next_event(deadline)
            self._note_clock(loop.time())
            if event is not None:
                self._handle(event)
                event = None  # it may hold a whole snapshot, and the next one may be far

    def overdue_s(self) -> float | None:
        """Return how long ago the proof of being live ran out unnoticed, in seconds, or None.

        An application that blocks its event loop, and a machine that slept, stop the driver too;
        whoever reads the status then must not be told what was true before. Safe in any thread.
        """
        if self._loop is None:
            return None
        if os.getpid() != self._pid:
            return 0.0  # a copy that a fork made; nothing reaches it any more
        now = self._loop.time()
        if self._has_jumped_to(time.time() - now):
            return 0.0
        until = self._core.connection.verified_until
        return now - until if until is not None and until <= now else None

    async def release(self) -> None:
        """End every task, socket and file; bounded by ``close_timeout_s``."""
        self._is_closing = True
        self._alarm.cancel()
        self._reader.close()
        if self._clock_timer is not None:
            self._clock_timer.cancel()
        closing = [asyncio.ensure_future(link.close()) for link in self._links.values()]
        self._links.clear()
        for task in self._tasks:
            if not task.get_name().startswith(FINISHED_ON_CLOSE):
                task.cancel()
        waiting = [*closing, *self._tasks]
        if waiting:
            _done, late = await asyncio.wait(waiting, timeout=self._config.close_timeout_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        try:
            await self._rows.close()
        finally:
            await self._http.close()

    # The loop.

    async def _next_event(self, deadline: float | None) -> ev.Event | None:
        if not self._inbox:
            self._alarm.set(deadline)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._inbox.popleft() if self._inbox else None

    @property
    def _is_asleep(self) -> bool:
        """Whether ``run`` waits, with nothing in the inbox, and was not woken yet."""
        return self._waiter is not None and not self._waiter.done()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _look_at_clock(self) -> None:
        """CONN-11: a sleep must not hide behind a far deadline; a look is cheap."""
        if self._loop is None or self._is_closing:
            return
        self._note_clock(self._loop.time())
        self._clock_timer = self._loop.call_later(CLOCK_LOOK_S, self._look_at_clock)

    def _note_clock(self, now: float) -> None:
        """CONN-11: the two clocks drift apart when the machine sleeps."""
        offset_s = time.time() - now
        has_jumped = self._has_jumped_to(offset_s)
        self._clock_offset_s = offset_s
        if has_jumped:
            self._handle(ev.ClockJumped())
            self._wake()

    def _has_jumped_to(self, offset_s: float) -> bool:
        known_s = self._clock_offset_s
        return known_s is not None and abs(offset_s - known_s) > CLOCK_JUMP_S

    def _handle(self, event: ev.Event) -> None:
        self._perform(self._core.handle(event, asyncio.get_running_loop().time()))
        self._is_closing = self._is_closing or isinstance(event, ev.CloseAsked)

    def _perform(self, effects: list[do.Effect]) -> None:
        self._is_performing = self._is_in_midst = True
        try:
            for effect in effects:
                self._performers[type(effect)](effect)
            self._is_in_midst = False
            self._observer.progressed()
        finally:
            self._is_performing = self._is_in_midst = False

    def _tell_some(self) -> None:
        self._is_in_midst = True
        try:
            self._announcer.tell_some()
        finally:
            self._is_in_midst = False
        if not self._announcer.has_more:
            self._observer.progressed()

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"portal-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("Task %s failed: %r", task.get_name(), error, exc_info=error)

    # Token.

    def _fetch_token(self, effect: do.FetchToken) -> None:
        if self._token_task is None or self._token_task.done():
            self._token_task = self._start(self._run_token(effect), "token")

    async def _run_token(self, effect: do.FetchToken) -> None:
        try:
            async with asyncio.timeout(self._config.request_timeout_s * effect.patience):
                issued = await self._tokens.fetch(self._http, renew=effect.renew)
        except AuthError as error:
            self.post(ev.TokenRefused(error))
        except PortalError as error:
            self.post(ev.TokenFailed(error))
        except TimeoutError:
            self.post(ev.TokenFailed(RequestTimeoutError("No access token in time")))
        except Exception as error:  # noqa: BLE001 - a bug must reach the status, not vanish
            self.post(ev.TokenFailed(surprise("getting a token", error)))
        else:
            self.post(ev.TokenAcquired(issued.token, issued.user_id, issued.life_s))

    # Doorbell.

    def _open_doorbell(self, effect: do.OpenDoorbell) -> None:
        token = self._core.token or ""
        link = self._transport.create_link(
            effect.generation, effect.scope, token, self.arrive, effect.kind
        )
        self._links[effect.generation] = link
        self._start(self._run_link(effect.generation, link.open), "doorbell-open")

    def _push_token(self, effect: do.PushToken) -> None:
        if link := self._links.get(effect.generation):
            work = functools.partial(link.push_token, effect.token)
            self._start(self._run_link(effect.generation, work), "doorbell-token")

    def _send_heartbeat(self, effect: do.SendHeartbeat) -> None:
        if link := self._links.get(effect.generation):
            self._start(self._run_link(effect.generation, link.heartbeat), "doorbell-heartbeat")

    def _close_doorbell(self, effect: do.CloseDoorbell) -> None:
        if link := self._links.pop(effect.generation, None):
            self._start(link.close(), "close-doorbell")

    async def _run_link(
        self, generation: int, work: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, this socket is not to be trusted
            lost = surprise("using the realtime socket", error)
            self.post(ev.DoorbellLost(generation, ev.LossKind.NETWORK, lost))
