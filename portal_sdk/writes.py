"""Local writes as the application sees them: handles, and the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from portal_sdk._core.refusals import refused_error, restore_error
from portal_sdk._core.write import Entry, WriteState
from portal_sdk._runtime.delivery import Stream, Subscribers, check_callback
from portal_sdk._runtime.merging import Conflict, Resolver
from portal_sdk.errors import (
    ConfigurationError,
    PortalClosedError,
    PortalError,
    StateError,
    WriteDiscardedError,
    WriteRefusedError,
    WriteTimeoutError,
)
from portal_sdk.models import PortalModel
from portal_sdk.types import Row

RecordT_co = TypeVar("RecordT_co", bound=PortalModel, covariant=True)
CallbackT = TypeVar("CallbackT", bound=Callable[..., Any])
ResolverT = TypeVar("ResolverT", bound=Resolver)


class PendingWrite(Generic[RecordT_co]):
    """One local write: already shown, on its way to the database.

    Made by the writing methods of the tables, and found in ``portal.outbox``.
    """

    def __init__(self, entry: Entry, record: Callable[[], RecordT_co | None]) -> None:
        self._entry = entry
        self._record = record
        self._error: PortalError | None = None
        self._is_closed = False
        self._moved = asyncio.Event()
        if entry.error is not None:
            cause = restore_error(entry.write, entry.error)
            self._error = refused_error(entry.write, cause)

    def __repr__(self) -> str:
        return f"<PendingWrite {self.table} {self.id} {self.state}>"

    @property
    def id(self) -> str:
        """Id of the write, and its idempotency key."""
        return self._entry.write.write_id

    @property
    def table(self) -> str:
        """Name of the table it is about."""
        return self._entry.write.table

    @property
    def row_id(self) -> str:
        """Id of the row it is about; made here for a new row."""
        return self._entry.write.row_id

    @property
    def values(self) -> Row:
        """What was to be written, by column (a copy); a refused write is not shown elsewhere."""
        return dict(self._entry.write.values)

    @property
    def state(self) -> WriteState:
        """Where it stands; compares equal to its string."""
        return self._entry.state

    @property
    def made_at(self) -> datetime:
        """When it was made, by this machine's clock, UTC."""
        return datetime.fromisoformat(self._entry.write.made_at)

    @property
    def error(self) -> PortalError | None:
        """Why it was refused or discarded, or None."""
        return self._error

    @property
    def record(self) -> RecordT_co | None:
        """The row as it is shown now, or None if it is not shown."""
        return self._record()

    async def synced(self, *, timeout_s: float = 10.0) -> None:
        """Wait until the change feed has brought the write back.

        Afterwards every read of this portal includes the database's own version of it.

        Args:
            timeout_s: Seconds to wait; the write goes on afterwards.

        Raises:
            WriteRefusedError: The database refused it; the cause says why.
            WriteDiscardedError: The application gave it up.
            WriteTimeoutError: Not in time, for example because the portal is offline.
            PortalClosedError: The portal was closed; with a store file the write is kept.

        Cancellation:
            Safe; the write goes on.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self._is_over():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            raise WriteTimeoutError(
                f"The write to {self.table} is {self.state} after {timeout_s:g} s; it goes on",
                write_id=self.id, table=self.table,
            ) from None  # fmt: skip

    def _is_over(self) -> bool:
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self.state is WriteState.SYNCED:
            return True
        if self._is_closed:
            raise PortalClosedError("Closed, or signed out, before the write was synced")
        return False

    # For the outbox.

    def move(self, entry: Entry, error: PortalError | None) -> None:
        """Take over what happened to the write."""
        self._entry = entry
        if error is not None:
            self._error = refused_error(entry.write, error)
        elif entry.state is WriteState.DISCARDED:
            self._error = WriteDiscardedError(
                f"The write to {self.table} was discarded", write_id=self.id, table=self.table
            )
        elif entry.state is not WriteState.REFUSED:
            self._error = None
        self._moved.set()

    def end(self) -> None:
        """The portal is closed."""
        self._is_closed = True
        self._moved.set()


class OutboxControl(Protocol):
    """What the outbox can ask for."""

    def retry(self, write_id: str) -> None:
        """Send a refused write once more."""

    def discard(self, write_id: str) -> None:
        """Give a write up."""

    def decide_conflicts(self, resolver: Resolver) -> None:
        """Let the application say what conflicting edits become."""


class Outbox:
    """The local writes that are not over yet: waiting, confirmed but not seen, or refused.

    Iteration gives them oldest first. With a store file they outlive the process.
    """

    def __init__(
        self,
        control: OutboxControl,
        record: Callable[[str, str], Any],
        refusals: Subscribers[PendingWrite[Any]],
    ) -> None:
        self._control = control
        self._record = record
        self._refusals = refusals
        self._writes: dict[str, PendingWrite[Any]] = {}

    def __len__(self) -> int:
        return len(self._writes)

    def __iter__(self) -> Iterator[PendingWrite[Any]]:
        return iter(list(self._writes.values()))

    def __getitem__(self, write_id: str) -> PendingWrite[Any]:
        return self._writes[write_id]

    @property
    def refused(self) -> list[PendingWrite[Any]]:
        """The refused writes, oldest first; each waits for ``retry`` or ``discard``."""
        return [write for write in self if write.state is WriteState.REFUSED]

    def of_row(self, row_id: object) -> list[PendingWrite[Any]]:
        """Return the writes on one row, oldest first."""
        return [write for write in self if write.row_id == str(row_id)]

    def retry(self, write: PendingWrite[Any] | str) -> None:
        """Send a refused write once more, over the row as it is now.

        Raises:
            StateError: It is not refused, or it is not in the outbox.
        """
        held = self._held(write)
        if held.state is not WriteState.REFUSED:
            raise StateError(f"The write is {held.state}: only a refused one can be retried")
        self._control.retry(held.id)

    def discard(self, write: PendingWrite[Any] | str) -> None:
        """Give up a write that has no effect; what it showed is taken back.

        Raises:
            StateError: It is not in the outbox, or it was sent and may be in effect.
        """
        held = self._held(write)
        self._control.discard(held.id)
        if held.id in self._writes:
            raise StateError(
                f"The write is {held.state} and was sent: it may be in effect already, so it"
                " cannot be discarded; wait for its outcome"
            )

    def refusals(self) -> Stream[PendingWrite[Any]]:
        """Return an async iterator over every write that is refused from now on."""
        return self._refusals.stream()

    def on_refused(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(write)`` for each refused write; sync or async. Usable as a decorator."""
        self._refusals.add_callback(callback, lambda write: (write,), "write")
        return callback

    def on_conflict(self, resolver: ResolverT) -> ResolverT:
        """Let a function decide what becomes of edits that somebody else's edit collides with.

        It is called with a ``Conflict`` and returns values for the conflicting columns:
        ``conflict.mine`` writes over the other edit, ``{}`` leaves it, and anything in between
        merges. None refuses the write, as without a function; so does a function that raises.
        Edits of different columns are merged without asking. Usable as a decorator.

        Args:
            resolver: Sync (it runs in a thread of its own) or async. Only one; the last counts.

        Raises:
            ConfigurationError: Not a function.
        """
        check_callback(resolver, "conflict")
        self._control.decide_conflicts(resolver)
        return resolver

    def _held(self, write: PendingWrite[Any] | str) -> PendingWrite[Any]:
        if not isinstance(write, (PendingWrite, str)):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise ConfigurationError(f"Give a write of the outbox, or its id, not {write!r}")
        write_id = write if isinstance(write, str) else write.id
        held = self._writes.get(write_id)
        if held is None:
            raise StateError("This write is not in the outbox: it is synced or discarded")
        return held

    # For the portal.

    def move(self, entry: Entry, error: PortalError | None) -> None:
        """Take over what happened to one write."""
        write_id = entry.write.write_id
        handle = self._writes.get(write_id) or self.add(entry)
        handle.move(entry, error)
        if entry.state in {WriteState.SYNCED, WriteState.DISCARDED}:
            del self._writes[write_id]
        elif error is not None:
            self._refusals.push(handle)

    def add(self, entry: Entry) -> PendingWrite[Any]:
        """Return the handle of a new write."""
        table, row_id = entry.key
        handle: PendingWrite[Any] = PendingWrite(entry, lambda: self._record(table, row_id))
        self._writes[entry.write.write_id] = handle
        return handle

    def clear(self) -> None:
        """Somebody else's writes come next; these stay in the store."""
        for handle in self._writes.values():
            handle.end()
        self._writes.clear()

    def close(self) -> None:
        """The portal is closed: nobody waits any longer."""
        for handle in self._writes.values():
            handle.end()
        self._refusals.close()


__all__ = ["Conflict", "Outbox", "PendingWrite", "WriteRefusedError", "WriteState"]
