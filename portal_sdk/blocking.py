"""The portal for programs that are not asynchronous: Django, Flask, scripts.

``blocking.Portal`` runs an asynchronous portal on a thread of its own and gives the same
guarantees. It may be used from several threads. Reads take about 0.1 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel

from portal_sdk import rooms, writable
from portal_sdk._runtime.delivery import Stream
from portal_sdk._runtime.loop_thread import LoopThread
from portal_sdk._runtime.tokens import Auth
from portal_sdk.config import PortalConfig
from portal_sdk.errors import PortalClosedError, PortalError, StateError
from portal_sdk.metrics import PortalMetrics
from portal_sdk.models import Customer, Invoice, Job, LoyaltyTransaction, Message, PortalModel
from portal_sdk.portal import Portal as AsyncPortal
from portal_sdk.tables import LiveTable as AsyncTable
from portal_sdk.types import Change, Row, SyncStatus
from portal_sdk.writes import PendingWrite as AsyncWrite
from portal_sdk.writes import WriteState

RecordT = TypeVar("RecordT", bound=PortalModel)
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
CallbackT = TypeVar("CallbackT", bound=Callable[..., Any])
CHECK_S = 0.25
"""How often a waiting iterator wakes, so that Ctrl-C is noticed on every platform."""


class BlockingStream(Iterator[ItemT], Generic[ItemT]):
    """An iterator that waits for each next item; ends when the portal closes."""

    def __init__(self, thread: LoopThread, stream: Stream[ItemT]) -> None:
        self._thread = thread
        self._stream = stream

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ItemT:
        while True:
            try:
                return self.next(timeout_s=CHECK_S)
            except TimeoutError:
                continue

    def next(self, *, timeout_s: float) -> ItemT:
        """Return the next item.

        Args:
            timeout_s: Seconds to wait for it.

        Raises:
            TimeoutError: Nothing happened in this time; nothing is lost.
            StopIteration: The portal is closed.
            SlowConsumerError: The reader fell behind.
        """

        async def step() -> tuple[ItemT] | None:
            try:
                return (await asyncio.wait_for(anext(self._stream), timeout_s),)
            except StopAsyncIteration:
                return None

        try:
            item = self._thread.run(step)
        except (PortalClosedError, StateError):
            item = None
        if item is None:
            raise StopIteration
        return item[0]


class PendingWrite(Generic[RecordT]):
    """One local write; see ``portal_sdk.PendingWrite``."""

    def __init__(self, thread: LoopThread, write: AsyncWrite[RecordT]) -> None:
        self._thread = thread
        self._write = write

    @property
    def id(self) -> str:
        """Id of the write, and its idempotency key."""
        return self._write.id

    @property
    def row_id(self) -> str:
        """Id of the row it is about."""
        return self._write.row_id

    @property
    def table(self) -> str:
        """Name of the table it is about."""
        return self._write.table

    @property
    def state(self) -> WriteState:
        """Where it stands."""
        return self._write.state

    @property
    def error(self) -> PortalError | None:
        """Why it was refused or discarded, or None."""
        return self._write.error

    @property
    def record(self) -> RecordT | None:
        """The row as it is shown now."""
        return self._thread.call(lambda: self._write.record)

    def synced(self, *, timeout_s: float = 10.0) -> None:
        """Wait until the change feed has brought the write back.

        Raises:
            WriteRefusedError, WriteDiscardedError, WriteTimeoutError, PortalClosedError: As in
                ``portal_sdk.PendingWrite.synced``.
        """
        self._thread.run(lambda: self._write.synced(timeout_s=timeout_s))


class Table(Generic[RecordT]):
    """One live table; see ``portal_sdk.LiveTable``."""

    def __init__(self, thread: LoopThread, table: AsyncTable[RecordT]) -> None:
        self._thread = thread
        self._table = table

    def __getitem__(self, row_id: str | UUID) -> RecordT:
        return self._thread.call(lambda: self._table[row_id])

    def __contains__(self, row_id: object) -> bool:
        return self._thread.call(lambda: row_id in self._table)

    def __len__(self) -> int:
        return self._thread.call(lambda: len(self._table))

    def __iter__(self) -> Iterator[RecordT]:
        return iter(self._thread.call(lambda: list(self._table)))

    def get(self, row_id: str | UUID) -> RecordT | None:
        """Return the record, or None."""
        return self._thread.call(lambda: self._table.get(row_id))

    def where(self, **equals: Any) -> list[RecordT]:
        """Return the records whose columns equal all the given values."""
        return self._thread.call(lambda: self._table.where(**equals))

    def changes(self) -> BlockingStream[Change[RecordT]]:
        """Return an iterator over every change from now on."""
        return BlockingStream(self._thread, self._thread.call(self._table.changes))

    def on_insert(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(record)`` for each new row, on a worker thread, in order."""
        self._thread.call(lambda: self._table.on_insert(_on_worker(callback)))
        return callback

    def on_update(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(record, previous)`` for each changed row, on a worker thread."""
        self._thread.call(lambda: self._table.on_update(_on_worker(callback)))
        return callback

    def on_delete(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(record)`` for each row that left, on a worker thread."""
        self._thread.call(lambda: self._table.on_delete(_on_worker(callback)))
        return callback

    def _submit(
        self, work: Callable[[], Coroutine[Any, Any, AsyncWrite[RecordT]]]
    ) -> PendingWrite[RecordT]:
        return PendingWrite(self._thread, self._thread.run(work))


class Messages(Table[Message]):
    """The thread with the staff; see ``portal_sdk.Messages``."""

    _table: writable.Messages

    @property
    def unread_count(self) -> int:
        """Messages from staff that the customer has not read."""
        return self._thread.call(lambda: self._table.unread_count)

    def send(self, body: str) -> PendingWrite[Message]:
        """Write a message to the staff; it is in the table when this returns."""
        return self._submit(lambda: self._table.send(body))

    def mark_read(self, message_id: str | UUID) -> PendingWrite[Message]:
        """Say that a message of the staff was read."""
        return self._submit(lambda: self._table.mark_read(message_id))


class Jobs(Table[Job]):
    """The customer's jobs; see ``portal_sdk.Jobs``."""

    _table: writable.Jobs

    def request(
        self, title: str, *, description: str | None = None, address: str | None = None
    ) -> PendingWrite[Job]:
        """Ask for a job; it is in the table when this returns."""
        return self._submit(
            lambda: self._table.request(title, description=description, address=address)
        )

    def cancel_request(self, job_id: str | UUID) -> PendingWrite[Job]:
        """Take back a request that nobody has scheduled yet."""
        return self._submit(lambda: self._table.cancel_request(job_id))


class Loyalty(Table[LoyaltyTransaction]):
    """The points ledger; see ``portal_sdk.Loyalty``."""

    _table: writable.Loyalty

    @property
    def balance(self) -> int:
        """Points after the latest entry."""
        return self._thread.call(lambda: self._table.balance)

    def redeem(self, points: int, *, reason: str) -> PendingWrite[LoyaltyTransaction]:
        """Spend points; ``balance`` is lower when this returns."""
        return self._submit(lambda: self._table.redeem(points, reason=reason))


class Profile(Table[Customer]):
    """The customer's own record; see ``portal_sdk.Profile``."""

    _table: writable.Profile

    def update(self, **columns: str | None) -> PendingWrite[Customer]:
        """Change contact data; ``portal.customer`` shows it when this returns."""
        return self._submit(lambda: self._table.update(**columns))

    def set_preferences(self, **preferences: Any) -> PendingWrite[Customer]:
        """Set preferences by key; None removes a key."""
        return self._submit(lambda: self._table.set_preferences(**preferences))


class Outbox:
    """The local writes that are not over yet; see ``portal_sdk.Outbox``."""

    def __init__(self, thread: LoopThread, portal: AsyncPortal) -> None:
        self._thread = thread
        self._outbox = portal.outbox

    def __len__(self) -> int:
        return self._thread.call(lambda: len(self._outbox))

    def __iter__(self) -> Iterator[PendingWrite[Any]]:
        writes = self._thread.call(lambda: list(self._outbox))
        return iter([PendingWrite(self._thread, write) for write in writes])

    @property
    def refused(self) -> list[PendingWrite[Any]]:
        """The refused writes, oldest first."""
        writes = self._thread.call(lambda: self._outbox.refused)
        return [PendingWrite(self._thread, write) for write in writes]

    def retry(self, write: PendingWrite[Any] | str) -> None:
        """Send a refused write once more."""
        self._thread.call(lambda: self._outbox.retry(_id_of(write)))

    def discard(self, write: PendingWrite[Any] | str) -> None:
        """Give up a write that has no effect."""
        self._thread.call(lambda: self._outbox.discard(_id_of(write)))


class PresenceRoom:
    """Who is in a room now; see ``portal_sdk.PresenceRoom``. Use it with ``with``."""

    def __init__(self, thread: LoopThread, room: rooms.PresenceRoom) -> None:
        self._thread = thread
        self._room = room

    def __enter__(self) -> Self:
        self._thread.run(self._room.__aenter__)
        return self

    def __exit__(self, *_details: object) -> None:
        self._thread.run(self._room.close)

    @property
    def members(self) -> dict[str, rooms.Member]:
        """Everyone in the room by key; a copy."""
        return self._thread.call(lambda: self._room.members)

    def changes(self) -> BlockingStream[rooms.PresenceChange]:
        """Return an iterator over everyone who comes, changes and goes from now on."""
        return BlockingStream(self._thread, self._thread.call(self._room.changes))

    def update(self, meta: Row | None) -> None:
        """Say something else about ourselves; None leaves the list."""
        self._thread.call(lambda: self._room.update(meta))


class BroadcastRoom:
    """Quick messages in a room; see ``portal_sdk.BroadcastRoom``. Use it with ``with``."""

    def __init__(self, thread: LoopThread, room: rooms.BroadcastRoom) -> None:
        self._thread = thread
        self._room = room

    def __enter__(self) -> Self:
        self._thread.run(self._room.__aenter__)
        return self

    def __exit__(self, *_details: object) -> None:
        self._thread.run(self._room.close)

    def send(
        self, event: str, payload: Row | BaseModel | None = None, *, timeout_s: float = 5.0
    ) -> None:
        """Send a message to everyone else in the room, and wait for the server's receipt."""
        self._thread.run(lambda: self._room.send(event, payload, timeout_s=timeout_s))

    def events(self, event: str | None = None) -> BlockingStream[rooms.Broadcast[Row]]:
        """Return an iterator over the messages from now on."""
        return BlockingStream(self._thread, self._thread.call(lambda: self._room.events(event)))


class Portal:
    """One signed-in customer's live data, without asyncio. Use it with ``with``.

    Args:
        url: The project URL.
        key: The project's publishable (or anon) key.
        auth: ``PasswordAuth`` or ``TokenAuth``.
        store: Path of a file that keeps rows and unsent writes between runs; None is memory.
        config: Durations and limits.

    Raises:
        ConfigurationError: An argument cannot be right.
    """

    jobs: Jobs
    invoices: Table[Invoice]
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
        self._portal = AsyncPortal(url, key, auth=auth, store=store, config=config)
        self._running: LoopThread | None = None

    def __enter__(self) -> Self:
        if self._running is not None:
            raise StateError("A portal is entered once; make a new one")
        portal = self._portal
        self._running = thread = LoopThread("portal-loop")
        try:
            thread.run(portal.__aenter__)
        except BaseException:
            thread.stop()
            raise
        self.jobs = Jobs(thread, portal.jobs)
        self.invoices = Table(thread, portal.invoices)
        self.messages = Messages(thread, portal.messages)
        self.loyalty = Loyalty(thread, portal.loyalty)
        self.profile = Profile(thread, portal.profile)
        self.outbox = Outbox(thread, portal)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the portal and end its thread; iterators end. Calling it twice is harmless."""
        thread = self._running
        if thread is None:
            return
        try:
            thread.run(self._portal.close)
        except StateError:
            return  # closed before
        thread.stop()

    def ready(self, *, timeout_s: float = 10.0) -> None:
        """Wait until the snapshot is applied and the feed is live.

        Raises:
            AuthError, ReadyTimeoutError, PortalClosedError: As in ``portal_sdk.Portal.ready``.
        """
        self._thread.run(lambda: self._portal.ready(timeout_s=timeout_s))

    def pause(self) -> None:
        """Close the connection; rows stay readable."""
        self._thread.call(self._portal.pause)

    def resume(self) -> None:
        """Connect again."""
        self._thread.call(self._portal.resume)

    @property
    def customer(self) -> Customer:
        """The signed-in customer; StateError before the first snapshot."""
        return self._thread.call(lambda: self._portal.customer)

    @property
    def status(self) -> SyncStatus:
        """How fresh the rows are, at this moment; readable after closing, too."""
        return self._portal.status

    @property
    def metrics(self) -> PortalMetrics:
        """Counters and latencies since the portal was opened."""
        return self._thread.call(lambda: self._portal.metrics)

    def statuses(self) -> BlockingStream[SyncStatus]:
        """Return an iterator over every status from now on."""
        return BlockingStream(self._thread, self._thread.call(self._portal.statuses))

    def changes(self) -> BlockingStream[Change[Any]]:
        """Return an iterator over the changes of all tables from now on, in feed order."""
        return BlockingStream(self._thread, self._thread.call(self._portal.changes))

    def on_change(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(change)`` for each change of any table, on a worker thread, in order."""
        self._thread.call(lambda: self._portal.on_change(_on_worker(callback)))
        return callback

    def presence(self, room: str, meta: Row | None = None) -> PresenceRoom:
        """Return a room that shows who is in it; enter it with ``with``."""
        thread = self._thread
        return PresenceRoom(thread, thread.call(lambda: self._portal.presence(room, meta)))

    def broadcast(self, room: str, *, hears_self: bool = False) -> BroadcastRoom:
        """Return a room for quick messages; enter it with ``with``."""
        thread = self._thread
        made = thread.call(lambda: self._portal.broadcast(room, hears_self=hears_self))
        return BroadcastRoom(thread, made)

    @property
    def _thread(self) -> LoopThread:
        if self._running is None:
            raise PortalClosedError("Enter the portal first: with Portal(...) as portal")
        return self._running


def _on_worker(callback: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return a callback for the loop that calls the user's function on a worker thread."""

    async def call(*arguments: Any) -> Any:
        return await asyncio.to_thread(callback, *arguments)

    call.__qualname__ = getattr(callback, "__qualname__", type(callback).__name__)
    return call


def _id_of(write: PendingWrite[Any] | str) -> str:
    return write if isinstance(write, str) else write.id


__all__ = [
    "BlockingStream",
    "BroadcastRoom",
    "Jobs",
    "Loyalty",
    "Messages",
    "Outbox",
    "PendingWrite",
    "Portal",
    "PresenceRoom",
    "Profile",
    "Table",
]
