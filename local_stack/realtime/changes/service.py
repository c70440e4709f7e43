"""Table changes and SQL broadcasts for the whole server: stream, subscriptions, delivery."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import asyncpg
import psycopg2

from local_stack.realtime.changes.backlog import Backlog
from local_stack.realtime.changes.catalog import Catalog
from local_stack.realtime.changes.change import Change
from local_stack.realtime.changes.delivery import deliver
from local_stack.realtime.changes.membership import Membership, read_membership
from local_stack.realtime.changes.reader import Row, StreamReader
from local_stack.realtime.changes.stream import ReplicationStream
from local_stack.realtime.changes.subscriptions import (
    SubscriptionRegistry,
    delete_all_subscriptions,
    delete_subscriptions,
    store_subscriptions,
)
from local_stack.realtime.database import CONNECTION_ERRORS, Database, Session
from local_stack.realtime.errors import SubscriptionError

if TYPE_CHECKING:
    from local_stack.realtime.channel import Channel
    from local_stack.realtime.config import RealtimeConfig
    from local_stack.realtime.limits import RateCounter
    from local_stack.realtime.services import Tasks

log = logging.getLogger(__name__)

_EXTENSION = "postgres_changes"
_SUBSCRIBED = "Subscribed to PostgreSQL"
_BACK_OFF_S = (0.1, 5.0)
_CLEAN_UP_S = 0.2
_DELIVERY_ATTEMPTS = 4
_CHANGES_AT_ONCE = 100
_DELIVERY_PAUSE_S = 0.2


class ChangesService:
    """Owner of the replication stream and of every table subscription."""

    def __init__(
        self,
        config: RealtimeConfig,
        database: Database,
        dsn: str,
        *,
        tasks: Tasks,
        rate: RateCounter,
        on_row: Callable[[Row], None],
    ) -> None:
        self._config = config
        self._database = database
        self._dsn = dsn
        self._tasks = tasks
        self._rate = rate
        self._session = Session(dsn, timeout_s=config.delivery_timeout_s)
        self._catalog = Catalog(self._session)
        self._registry = SubscriptionRegistry()
        self._backlog = Backlog(
            config.max_queued_changes, config.max_queued_change_bytes, self._read_on
        )
        self._reader = StreamReader(on_row, self._backlog.put, self._registry.has_entity)
        self._stream: ReplicationStream | None = None
        self._streaming = asyncio.Event()
        self._stale_ids: list[uuid.UUID] = []
        self._channels: dict[Channel, asyncio.Task[None] | None] = {}
        self._membership: Membership | None = None
        self.background_tasks: tuple[asyncio.Task[None], ...] = ()

    def start(self) -> None:
        """Start the background work; ``Tasks`` ends it."""
        self.background_tasks = (
            self._tasks.spawn("replication", self._run_stream()),
            self._tasks.spawn("changes", self._run_delivery()),
            self._tasks.spawn("publication", self._run_membership()),
            self._tasks.spawn("subscription-clean-up", self._run_clean_up()),
        )

    async def wait_streaming(self, timeout_s: float) -> bool:
        """Return whether the stream is up, or came up within the time."""
        try:
            await asyncio.wait_for(self._streaming.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    @property
    def is_streaming(self) -> bool:
        """Whether changes of the database arrive now."""
        return self._streaming.is_set()

    # subscriptions of channels -----------------------------------------------------------------

    def subscribe(self, channel: Channel, delay_s: float = 0.0) -> None:
        """Subscribe a channel in the background; it is told the outcome by ``system``."""
        pending = self._channels.get(channel)
        if pending is not None:
            pending.cancel()
        self._channels[channel] = self._tasks.spawn("subscribe", self._subscribe(channel, delay_s))

    def resubscribe(self, channel: Channel) -> None:
        """Subscribe again with the channel's new claims, after a while."""
        delay_s = self._config.resubscribe_delay_s
        self.subscribe(channel, delay_s * random.uniform(1, 1.5))  # noqa: S311 - only spreads load

    def unsubscribe(self, channel: Channel) -> None:
        """Forget a channel; its rows are deleted soon."""
        if channel not in self._channels:
            return
        pending = self._channels.pop(channel)
        if pending is not None:
            pending.cancel()
        self._stale_ids += self._registry.replace(channel, ())

    async def _subscribe(self, channel: Channel, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while True:
            if await self._try_subscribe(channel):
                return
            await asyncio.sleep(self._config.subscribe_retry_s)

    async def _try_subscribe(self, channel: Channel) -> bool:
        """Subscribe and tell the channel; return False when it is to be tried again."""
        # The slot must exist before the channel is told that changes arrive.
        await self._streaming.wait()
        try:
            subscriptions = await store_subscriptions(
                self._database, self._config.publication, channel, channel.credential.claims
            )
        except SubscriptionError as error:
            channel.send_system(_EXTENSION, "error", error.message)
            if not error.retry:
                self._stale_ids += self._registry.replace(channel, ())
            return not error.retry
        self._stale_ids += self._registry.replace(channel, subscriptions)
        channel.send_system(_EXTENSION, "ok", _SUBSCRIBED)
        return True

    def _resubscribe_everyone(self) -> None:
        # What a channel has now stays until it is replaced, so that nothing falls in between.
        for channel in tuple(self._channels):
            self.subscribe(channel)

    # background work -----------------------------------------------------------------------------

    async def _run_stream(self) -> None:
        """Keep the stream up; a new one after a loss tells every channel to take stock."""
        back_off_s = _BACK_OFF_S[0]
        is_first = True
        while True:
            started_s = time.monotonic()
            try:
                await self._stream_once(is_first=is_first)
            except (psycopg2.Error, asyncpg.PostgresError, *CONNECTION_ERRORS) as error:
                log.warning("the replication stream ended: %s", type(error).__name__)
            is_first = is_first and not self._streaming.is_set()
            self._streaming.clear()
            if time.monotonic() - started_s > _BACK_OFF_S[1]:
                back_off_s = _BACK_OFF_S[0]
            await asyncio.sleep(back_off_s)
            back_off_s = min(back_off_s * 2, _BACK_OFF_S[1])

    async def _stream_once(self, *, is_first: bool) -> None:
        membership = await read_membership(self._database, self._config)
        stream = ReplicationStream(
            self._dsn,
            membership.publications,
            self._reader.feed,
            lambda: self._backlog.is_full,
        )
        if is_first:
            await delete_all_subscriptions(self._database)
        await stream.open()
        self._reader.reset()
        self._catalog.clear()
        self._membership = membership
        self._stream = stream
        running = asyncio.ensure_future(stream.run())
        try:
            self._streaming.set()
            if not is_first:
                self._resubscribe_everyone()
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _read_on(self) -> None:
        if self._stream is not None:
            self._stream.resume()

    async def _run_delivery(self) -> None:
        try:
            with contextlib.suppress(asyncpg.PostgresError, *CONNECTION_ERRORS):
                async with self._session.connection():
                    pass  # opened now, so that the first change does not wait for it
            while True:
                # With a limit, each change is counted before the next one is looked at.
                at_once = _CHANGES_AT_ONCE if self._rate.limit is None else 1
                changes = await self._backlog.get(at_once)
                if not self._rate.is_triggered(time.monotonic()):
                    await self._deliver(changes)
        finally:
            self._session.abandon()

    async def _deliver(self, changes: list[Change]) -> None:
        """Deliver changes; a lost connection is made anew, then everybody is told to look.

        A statement that fails (a policy that takes too long, say) costs the one change that it
        fails for: they are tried one by one then.
        """
        for attempt in range(_DELIVERY_ATTEMPTS):
            try:
                if attempt:
                    await asyncio.sleep(_DELIVERY_PAUSE_S * attempt)
                await self._deliver_once(changes)
            except CONNECTION_ERRORS as error:
                log.warning("the database failed during a look-up: %s", type(error).__name__)
            except asyncpg.PostgresError as error:
                if len(changes) > 1:
                    for change in changes:
                        await self._deliver([change])
                else:
                    log.warning("a change was lost, the look-up failed: %s", type(error).__name__)
                return
            else:
                return
        log.error("changes were lost, the database is away; every channel is subscribed again")
        self._resubscribe_everyone()

    async def _deliver_once(self, changes: list[Change]) -> None:
        listened = [(each, self._registry.of_entity(each.relation.oid)) for each in changes]
        listened = [(change, subscriptions) for change, subscriptions in listened if subscriptions]
        if not listened:
            return
        count = await deliver(
            self._session, self._catalog, listened, max_bytes=self._config.max_record_bytes
        )
        self._rate.add(time.monotonic(), count)

    async def _run_membership(self) -> None:
        """Notice tables that enter or leave the publication; every channel then starts over."""
        while True:
            await asyncio.sleep(self._config.publication_check_s)
            if not self._streaming.is_set():
                continue
            try:
                found = await read_membership(self._database, self._config)
            except (asyncpg.PostgresError, *CONNECTION_ERRORS):
                continue
            if self._membership is not None and found.tables != self._membership.tables:
                self._resubscribe_everyone()
            self._membership = found

    async def _run_clean_up(self) -> None:
        while True:
            await asyncio.sleep(_CLEAN_UP_S)
            if not self._stale_ids:
                continue
            ids, self._stale_ids = self._stale_ids, []
            try:
                await delete_subscriptions(self._database, ids)
            except (asyncpg.PostgresError, *CONNECTION_ERRORS):
                self._stale_ids += ids
