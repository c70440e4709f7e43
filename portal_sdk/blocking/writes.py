"""Local writes for plain threads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import Any, Generic, TypeVar

from portal_sdk._runtime.loop_thread import LoopThread
from portal_sdk._runtime.merging import Resolver
from portal_sdk.blocking.streams import BlockingStream
from portal_sdk.errors import PortalError
from portal_sdk.models import PortalModel
from portal_sdk.portal import Portal as AsyncPortal
from portal_sdk.types import Row
from portal_sdk.writes import PendingWrite as AsyncWrite
from portal_sdk.writes import WriteState

RecordT = TypeVar("RecordT", bound=PortalModel)
CallbackT = TypeVar("CallbackT", bound=Callable[..., Any])
ResolverT = TypeVar("ResolverT", bound=Resolver)


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
    def values(self) -> Row:
        """What was to be written, by column (a copy)."""
        return self._write.values

    @property
    def made_at(self) -> datetime:
        """When it was made, by this machine's clock, UTC."""
        return self._write.made_at

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

    def __getitem__(self, write_id: str) -> PendingWrite[Any]:
        return PendingWrite(self._thread, self._thread.call(lambda: self._outbox[write_id]))

    def of_row(self, row_id: object) -> list[PendingWrite[Any]]:
        """Return the writes on one row, oldest first."""
        writes = self._thread.call(lambda: self._outbox.of_row(row_id))
        return [PendingWrite(self._thread, write) for write in writes]

    def refusals(self) -> BlockingStream[PendingWrite[Any]]:
        """Return an iterator over every write that is refused from now on."""
        thread = self._thread
        stream = _Handles(thread, thread.call(self._outbox.refusals))
        return BlockingStream(thread, stream)

    @property
    def refused(self) -> list[PendingWrite[Any]]:
        """The refused writes, oldest first."""
        writes = self._thread.call(lambda: self._outbox.refused)
        return [PendingWrite(self._thread, write) for write in writes]

    def retry(self, write: PendingWrite[Any] | str) -> None:
        """Send a refused write once more."""
        self._thread.call(lambda: self._outbox.retry(_id_of(write)))

    def on_conflict(self, resolver: ResolverT) -> ResolverT:
        """Let a function decide about colliding edits; see ``portal_sdk.Outbox.on_conflict``."""
        self._thread.call(lambda: self._outbox.on_conflict(resolver))
        return resolver

    def on_refused(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(write)`` for each refused write, on a thread of its own."""

        def call(write: AsyncWrite[Any]) -> None:
            callback(PendingWrite(self._thread, write))

        self._thread.call(lambda: self._outbox.on_refused(call))
        return callback

    def discard(self, write: PendingWrite[Any] | str) -> None:
        """Give up a write that has no effect."""
        self._thread.call(lambda: self._outbox.discard(_id_of(write)))


class _Handles(AsyncIterator[PendingWrite[Any]]):
    """The handles of a stream, each with its thread."""

    def __init__(self, thread: LoopThread, stream: AsyncIterator[AsyncWrite[Any]]) -> None:
        self._thread = thread
        self._stream = stream

    async def __anext__(self) -> PendingWrite[Any]:
        return PendingWrite(self._thread, await anext(self._stream))


def _id_of(write: PendingWrite[Any] | str) -> str:
    return write if isinstance(write, str) else write.id
