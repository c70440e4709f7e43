"""The single owner of a portal's state: inbox -> core -> effects -> deadlines.

Nothing else touches the core. An effect never waits for the network here: it starts a named task
whose outcome comes back through the inbox.
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
from portal_sdk._runtime.http import HttpApi
from portal_sdk._runtime.rest import DatabaseApi
from portal_sdk._runtime.threads import run_in_thread
from portal_sdk._runtime.tokens import TokenSource
from portal_sdk._runtime.transport import DoorbellLink, Transport
from portal_sdk._store import MemoryStore, SqliteStore, Store, StoredRows
from portal_sdk.config import PortalConfig
from portal_sdk.errors import (
    AuthError,
    NoCustomerError,
    PortalError,
    ProtocolError,
    RequestTimeoutError,
    StoreError,
)

logger = logging.getLogger("portal_sdk")
CLOCK_JUMP_S = 5.0
SALT_BYTES = 16
STORE_RETRY_S = 5.0
"""A store that failed is rewritten as a whole: not more often than this."""


class Observer(Protocol):
    """Told what the driver did; every method only enqueues."""

    def changes_applied(self, effect: do.PublishChanges) -> None:
        """Rows changed; they are committed already."""

    def progressed(self) -> None:
        """An event was handled; the state may be another one."""


class Driver:
    """Runs one PortalCore until it is closed.

    Attributes:
        store_error: Why rows are not kept on disk, or None.
    """

    def __init__(
        self, core: PortalCore, config: PortalConfig, *, project: str, http: HttpApi,
        tokens: TokenSource, transport: Transport, store: Store, observer: Observer,
    ) -> None:  # fmt: skip
        self.store_error: StoreError | None = None
        self._core = core
        self._config = config
        self._project = project
        self._http = http
        self._database = DatabaseApi(http)
        self._tokens = tokens
        self._transport = transport
        self._store = store
        self._observer = observer
        self._inbox: deque[ev.Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._links: dict[int, DoorbellLink] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._token_task: asyncio.Task[None] | None = None
        self._must_rewrite_store = False
        self._store_retry_at = 0.0
        self._is_closing = False
        self._clock_offset_s = 0.0
        self._performers: dict[type, Callable[[Any], None]] = {
            do.FetchToken: self._fetch_token,
            do.PushToken: self._push_token,
            do.OpenStore: self._open_store,
            do.RecallRows: self._recall_rows,
            do.CommitRows: self._commit_rows,
            do.PurgeStore: self._purge_store,
            do.ResolveScope: self._resolve_scope,
            do.OpenDoorbell: self._open_doorbell,
            do.CloseDoorbell: self._close_doorbell,
            do.SendHeartbeat: self._send_heartbeat,
            do.RequestSnapshot: self._request_snapshot,
            do.RequestPull: self._request_pull,
            do.RequestHead: self._request_head,
            do.PublishChanges: observer.changes_applied,
        }

    def post(self, event: ev.Event) -> None:
        """Put a fact into the inbox; never waits."""
        self._inbox.append(event)
        _wake(self._waiter)

    async def run(self) -> None:
        """Own the core until CloseAsked was handled."""
        loop = asyncio.get_running_loop()
        self._clock_offset_s = time.time() - loop.time()
        while not self._is_closing:
            deadline = self._core.next_deadline()
            now = loop.time()
            if deadline is not None and deadline <= now:
                self._perform(self._core.handle_timer(now))
                continue
            event = await self._next_event(deadline)
            self._note_clock(loop.time())
            if event is not None:
                self._perform(self._core.handle(event, loop.time()))
                self._is_closing = isinstance(event, ev.CloseAsked)

    async def release(self) -> None:
        """End every task, socket and file; bounded by ``close_timeout_s``."""
        self._is_closing = True
        closing = [asyncio.ensure_future(link.close()) for link in self._links.values()]
        self._links.clear()
        for task in self._tasks:
            if not task.get_name().startswith("portal-close"):
                task.cancel()
        waiting = [*closing, *self._tasks]
        if waiting:
            _done, late = await asyncio.wait(waiting, timeout=self._config.close_timeout_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self._store.close()
        await self._http.close()

    # The loop.

    async def _next_event(self, deadline: float | None) -> ev.Event | None:
        if not self._inbox:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = None if deadline is None else loop.call_at(deadline, _wake, self._waiter)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        return self._inbox.popleft() if self._inbox else None

    def _note_clock(self, now: float) -> None:
        """CONN-11: the two clocks drift apart when the machine sleeps."""
        offset_s = time.time() - now
        if abs(offset_s - self._clock_offset_s) > CLOCK_JUMP_S:
            self.post(ev.ClockJumped())
        self._clock_offset_s = offset_s

    def _perform(self, effects: list[do.Effect]) -> None:
        for effect in effects:
            self._performers[type(effect)](effect)
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

    # Token and store.

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
            self.post(ev.TokenFailed(_surprise("getting a token", error)))
        else:
            self.post(ev.TokenAcquired(issued.token, issued.user_id, issued.life_s))

    def _open_store(self, effect: do.OpenStore) -> None:
        try:
            stored = self._store.open(self._project, effect.user_id)
        except StoreError as error:
            self._note_store_error(error)
            self._store = MemoryStore()
            stored = self._store.open(self._project, effect.user_id)
        self.post(_store_opened(stored))
        if isinstance(self._store, SqliteStore) and (prove := getattr(self._tokens, "prove", None)):
            self._start(self._run_remember(prove), "remember-login")

    async def _run_remember(self, prove: Callable[[bytes], bytes]) -> None:
        """SYNC-21: let the next start without a network recognise this login."""
        salt = os.urandom(SALT_BYTES)
        proof = await run_in_thread(lambda: prove(salt))
        try:
            self._store.remember(salt, proof)
        except StoreError as error:
            self._note_store_error(error)

    def _recall_rows(self, _effect: do.RecallRows) -> None:
        prove = getattr(self._tokens, "prove", None)
        if prove is not None and isinstance(self._store, SqliteStore):
            self._start(self._run_recall(prove), "recall")

    async def _run_recall(self, prove: Callable[[bytes], bytes]) -> None:
        try:
            salt = self._store.salt(self._project)
            if salt is None:
                return
            proof = await run_in_thread(lambda: prove(salt))
            found = self._store.recall(self._project, proof)
        except StoreError as error:
            self._note_store_error(error)
            return
        if found is not None:
            user_id, stored = found
            self.post(ev.RowsRecalled(user_id, _store_opened(stored)))

    def _commit_rows(self, effect: do.CommitRows) -> None:
        commit = effect.commit
        now = asyncio.get_running_loop().time()
        if self._must_rewrite_store and now < self._store_retry_at:
            return
        if self._must_rewrite_store and not commit.replace:
            # A batch was lost: what is stored is complete up to an older cursor. Catch it up.
            commit = self._core.sync.snapshot_commit() or commit
        try:
            self._store.commit(commit)
        except StoreError as error:
            self._must_rewrite_store = True
            self._store_retry_at = now + STORE_RETRY_S
            self._note_store_error(error)
        else:
            self._must_rewrite_store = False
            self.store_error = None

    def _purge_store(self, _effect: do.PurgeStore) -> None:
        try:
            self._store.purge()
        except StoreError as error:
            self._must_rewrite_store = True
            self._note_store_error(error)

    def _note_store_error(self, error: StoreError) -> None:
        if self.store_error is None:
            logger.error("Rows are kept in memory only: %s", error)
        self.store_error = error

    # Doorbell.

    def _open_doorbell(self, effect: do.OpenDoorbell) -> None:
        token = self._core.token or ""
        link = self._transport.create_link(
            effect.generation, effect.scope, token, self.post, effect.kind
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
            lost = _surprise("using the realtime socket", error)
            self.post(ev.DoorbellLost(generation, ev.LossKind.NETWORK, lost))

    # Database.

    def _resolve_scope(self, effect: do.ResolveScope) -> None:
        self._start(self._run_resolve(effect), "resolve")

    async def _run_resolve(self, effect: do.ResolveScope) -> None:
        token = self._core.token or ""
        try:
            async with asyncio.timeout(self._config.request_timeout_s):
                scope = await self._database.find_scope(effect.user_id, token=token)
        except NoCustomerError as error:
            self.post(ev.ScopeMissing(effect.request, error))
        except PortalError as error:
            self.post(ev.ScopeFailed(effect.request, error))
        except TimeoutError:
            self.post(ev.ScopeFailed(effect.request, _too_late("the customers table")))
        except Exception as error:  # noqa: BLE001 - a bug must reach the status, not vanish
            self.post(ev.ScopeFailed(effect.request, _surprise("finding the customer", error)))
        else:
            self.post(ev.ScopeResolved(effect.request, scope))

    def _request_snapshot(self, effect: do.RequestSnapshot) -> None:
        async def read() -> ev.Event:
            snapshot = await self._database.snapshot(effect.scope, token=self._core.token or "")
            return ev.SnapshotAnswered(effect.request, snapshot)

        self._start(self._run_request(effect.request, read), "snapshot")

    def _request_pull(self, effect: do.RequestPull) -> None:
        async def read() -> ev.Event:
            page = await self._database.pull(
                effect.scope, epoch=effect.epoch, after_n=effect.after_n, limit=effect.limit,
                token=self._core.token or "",
            )  # fmt: skip
            return ev.PullAnswered(effect.request, page)

        self._start(self._run_request(effect.request, read), "pull")

    def _request_head(self, effect: do.RequestHead) -> None:
        async def read() -> ev.Event:
            head = await self._database.head(effect.scope, token=self._core.token or "")
            return ev.HeadAnswered(effect.request, head)

        self._start(self._run_request(effect.request, read), "head")

    async def _run_request(
        self, request: int, work: Callable[[], Coroutine[Any, Any, ev.Event]]
    ) -> None:
        try:
            async with asyncio.timeout(self._config.request_timeout_s):
                answer = await work()
        except PortalError as error:
            self.post(ev.RequestFailed(request, error))
        except TimeoutError:
            self.post(ev.RequestFailed(request, _too_late("the database")))
        except Exception as error:  # noqa: BLE001 - a bug must reach the status, not vanish
            self.post(ev.RequestFailed(request, _surprise("reading the feed", error)))
        else:
            self.post(answer)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _store_opened(stored: StoredRows) -> ev.StoreOpened:
    return ev.StoreOpened(stored.scope, stored.epoch, stored.n, stored.tables, stored.as_of)


def _too_late(who: str) -> RequestTimeoutError:
    return RequestTimeoutError(f"No answer from {who} in time")


def _surprise(doing: str, error: Exception) -> ProtocolError:
    logger.debug("Unexpected error while %s", doing, exc_info=error)
    return ProtocolError(f"Unexpected {type(error).__name__} while {doing}")
