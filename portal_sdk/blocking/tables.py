"""The live tables for plain threads."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload
from uuid import UUID

from portal_sdk import views, writable
from portal_sdk._runtime.loop_thread import LoopThread
from portal_sdk.blocking.streams import BlockingStream
from portal_sdk.blocking.writes import PendingWrite
from portal_sdk.models import Customer, Job, LoyaltyTransaction, Message, PortalModel
from portal_sdk.tables import LiveTable as AsyncTable
from portal_sdk.types import Change
from portal_sdk.writes import PendingWrite as AsyncWrite

RecordT = TypeVar("RecordT", bound=PortalModel)
KeyT = TypeVar("KeyT")
CallbackT = TypeVar("CallbackT", bound=Callable[..., Any])


class View(Sequence[RecordT], Generic[RecordT]):
    """The records of a table that match, in order; see ``portal_sdk.TableView``."""

    def __init__(self, thread: LoopThread, view: views.TableView[RecordT]) -> None:
        self._thread = thread
        self._view = view

    @overload
    def __getitem__(self, index: int) -> RecordT: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordT]: ...
    def __getitem__(self, index: int | slice) -> RecordT | list[RecordT]:
        return self._thread.call(lambda: self._view[index])

    def __len__(self) -> int:
        return self._thread.call(lambda: len(self._view))

    def __iter__(self) -> Iterator[RecordT]:
        return iter(self._thread.call(lambda: list(self._view)))

    def changes(self) -> BlockingStream[Change[RecordT]]:
        """Return an iterator over the changes as the view sees them, from now on."""
        return BlockingStream(self._thread, self._thread.call(self._view.changes))

    def on_change(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(change)`` for each change as the view sees it, on its own thread."""
        self._thread.call(lambda: self._view.on_change(callback))
        return callback


class GroupedView(Mapping[KeyT, list[RecordT]], Generic[KeyT, RecordT]):
    """The records of a table by a key of theirs; see ``portal_sdk.GroupedView``."""

    def __init__(self, thread: LoopThread, groups: views.GroupedView[KeyT, RecordT]) -> None:
        self._thread = thread
        self._groups = groups

    def __getitem__(self, key: KeyT) -> list[RecordT]:
        return self._thread.call(lambda: self._groups[key])

    def __iter__(self) -> Iterator[KeyT]:
        return iter(self._thread.call(lambda: list(self._groups)))

    def __len__(self) -> int:
        return self._thread.call(lambda: len(self._groups))


class Table(Generic[RecordT]):
    """One live table; see ``portal_sdk.LiveTable``."""

    def __init__(self, thread: LoopThread, table: AsyncTable[RecordT]) -> None:
        self._thread = thread
        self._table = table

    @property
    def name(self) -> str:
        """Name of the table in the database."""
        return self._table.name

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
        """Return the records whose columns equal the values; see ``portal_sdk.LiveTable.where``."""
        return self._thread.call(lambda: self._table.where(**equals))

    def view(
        self,
        where: Callable[[RecordT], object] | None = None,
        *,
        sort_key: Callable[[RecordT], Any] | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> View[RecordT]:
        """Return the records that match, in order; see ``portal_sdk.LiveTable.view``.

        The functions run on the portal's thread: they must be quick.
        """
        view = self._thread.call(
            lambda: self._table.view(where, sort_key=sort_key, reverse=reverse, limit=limit)
        )
        return View(self._thread, view)

    def group_by(
        self,
        key: Callable[[RecordT], KeyT],
        *,
        where: Callable[[RecordT], object] | None = None,
        sort_key: Callable[[RecordT], Any] | None = None,
        reverse: bool = False,
    ) -> GroupedView[KeyT, RecordT]:
        """Return the records by a key of theirs; see ``portal_sdk.LiveTable.group_by``."""
        groups = self._thread.call(
            lambda: self._table.group_by(key, where=where, sort_key=sort_key, reverse=reverse)
        )
        return GroupedView(self._thread, groups)

    def changes(self) -> BlockingStream[Change[RecordT]]:
        """Return an iterator over every change from now on."""
        return BlockingStream(self._thread, self._thread.call(self._table.changes))

    def on_change(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(change)`` for each change of this table, on a thread of its own."""
        self._thread.call(lambda: self._table.on_change(callback))
        return callback

    def on_insert(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(record)`` for each new row, on a thread of its own, in order."""
        self._thread.call(lambda: self._table.on_insert(callback))
        return callback

    def on_update(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(record, previous)`` for each changed row, on a thread of its own."""
        self._thread.call(lambda: self._table.on_update(callback))
        return callback

    def on_delete(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(record)`` for each row that left, on a thread of its own."""
        self._thread.call(lambda: self._table.on_delete(callback))
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
        """Spend points; ``balance`` is lower when this returns, if it is known to be enough."""
        return self._submit(lambda: self._table.redeem(points, reason=reason))


class Profile(Table[Customer]):
    """The customer's own record; see ``portal_sdk.Profile``."""

    _table: writable.Profile

    @property
    def record(self) -> Customer | None:
        """The customer, or None before the first snapshot."""
        return self._thread.call(lambda: self._table.record)

    def update(self, **columns: str | None) -> PendingWrite[Customer]:
        """Change contact data; ``portal.customer`` shows it when this returns."""
        return self._submit(lambda: self._table.update(**columns))

    def set_preferences(self, **preferences: Any) -> PendingWrite[Customer]:
        """Set preferences by key; None removes a key."""
        return self._submit(lambda: self._table.set_preferences(**preferences))
