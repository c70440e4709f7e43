"""Live tables: typed, always the newest state the portal knows."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from pydantic import ValidationError

from portal_sdk._core.difference import RowChange
from portal_sdk._runtime.delivery import Stream, Subscribers
from portal_sdk.errors import ConfigurationError
from portal_sdk.models import (
    Customer,
    LoyaltyTransaction,
    Message,
    PortalModel,
    construct_leniently,
    to_column_value,
)
from portal_sdk.types import Change, ChangeSource, Row
from portal_sdk.views import GroupedView, TableView

RecordT = TypeVar("RecordT", bound=PortalModel)
KeyT = TypeVar("KeyT")
CallbackT = TypeVar("CallbackT", bound=Callable[..., Any])


class RowSource(Protocol):
    """Every row to show, by table and id."""

    @property
    def tables(self) -> Mapping[str, Mapping[str, Row]]:
        """The rows; a live view."""
        ...


class LiveTable(Generic[RecordT]):
    """The customer's rows of one table, kept current by the portal.

    Reading never waits and never fails on a lost connection; ``portal.status`` says how fresh
    the rows are. Iteration gives records, in no particular order.
    """

    def __init__(
        self,
        name: str,
        model: type[RecordT],
        replica: Callable[[], RowSource],
        subscribers: Subscribers[Change[RecordT]],
    ) -> None:
        self._name = name
        self._model = model
        self._validate = model.__pydantic_validator__.validate_python
        self._replica = replica
        self._subscribers = subscribers
        self._records: dict[str, tuple[Row, RecordT]] = {}
        # A view that nobody holds any more is collected.
        self._views: weakref.WeakSet[TableView[RecordT]] | None = None

    @property
    def name(self) -> str:
        """Name of the table in the database."""
        return self._name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}: {len(self)} rows>"

    def __getitem__(self, row_id: str | UUID) -> RecordT:
        key = str(row_id)
        return self._to_record(key, self._rows()[key])

    def __contains__(self, row_id: object) -> bool:
        return str(row_id) in self._rows()

    def __len__(self) -> int:
        return len(self._rows())

    def __iter__(self) -> Iterator[RecordT]:
        return iter([record for _row_id, record in self.items()])

    def get(self, row_id: str | UUID) -> RecordT | None:
        """Return the record, or None if this customer has no such row."""
        row = self._rows().get(str(row_id))
        return None if row is None else self._to_record(str(row_id), row)

    def where(self, **equals: Any) -> list[RecordT]:
        """Return the records whose columns equal all the given values.

        Args:
            equals: Column names and values, compared with the model's types: a UUID or a time
                may be given as text. None finds what has no value.

        Raises:
            ConfigurationError: There is no such column, or it cannot hold such a value.
        """
        records = list(self)
        for column in equals:
            self._check_column(column, records)
        equals = {
            column: self._comparable(column, wanted, records) for column, wanted in equals.items()
        }
        return [
            record
            for record in records
            if all(_MISSING is not (value := getattr(record, column, _MISSING)) and value == wanted
                   for column, wanted in equals.items())
        ]  # fmt: skip

    def _check_column(self, column: str, records: list[RecordT]) -> None:
        """Refuse a name that neither the model has nor, as a newer database may, any row."""
        known = self._model.model_fields
        if column in known or not records:
            return
        if not any(column in (record.model_extra or {}) for record in records):
            raise ConfigurationError(
                f"{self._name} has no column {column!r}; there are {', '.join(known)}"
            )

    def _comparable(self, column: str, wanted: object, records: list[RecordT]) -> object:
        """Return what to compare with; refuse what no record could equal."""
        if wanted is None or column not in self._model.model_fields:
            return wanted
        try:
            value = to_column_value(self._model, column, wanted)
            reason = "give the time its zone, such as +00:00" if _is_naive(value) else ""
        except ValidationError as error:
            value, reason = wanted, error.errors(include_url=False)[0]["msg"]
        # A row of another database version is shown as it came, and is found by what it shows.
        if reason and not any(getattr(record, column, _MISSING) == value for record in records):
            raise ConfigurationError(f"{self._name}.{column} cannot be what is asked for: {reason}")
        return value

    def changes(self) -> Stream[Change[RecordT]]:
        """Return an async iterator over every change from now on.

        Raises (while iterating):
            SlowConsumerError: The reader fell ``queue_capacity`` changes behind.

        Cancellation:
            Safe; no change is lost.
        """
        return self._subscribers.stream()

    def view(
        self,
        where: Callable[[RecordT], object] | None = None,
        *,
        sort_key: Callable[[RecordT], Any] | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> TableView[RecordT]:
        """Return the records that match, in order, as a sequence that follows the table.

        Args:
            where: A function of a record that says whether it belongs; None is all.
            sort_key: A function of a record to sort by, ascending; where it gives None the record
                comes last. Ties are in the order of the ids.
            reverse: Descending.
            limit: Show only so many, the first ones.

        Raises:
            ConfigurationError: Not functions, or ``limit`` below 1.
        """
        view = TableView(self, where, sort_key, reverse=reverse, limit=limit)
        if self._views is None:
            self._views = weakref.WeakSet()
        self._views.add(view)
        return view

    def group_by(
        self,
        key: Callable[[RecordT], KeyT],
        *,
        where: Callable[[RecordT], object] | None = None,
        sort_key: Callable[[RecordT], Any] | None = None,
        reverse: bool = False,
    ) -> GroupedView[KeyT, RecordT]:
        """Return the records by a key of theirs, as a mapping that follows the table.

        Args:
            key: A function of a record, such as ``lambda job: job.status``; the key is hashable.
            where: As for ``view``.
            sort_key: The order within each group, as for ``view``.
            reverse: Descending within each group.

        Raises:
            ConfigurationError: Not functions.
        """
        return GroupedView(self.view(where, sort_key=sort_key, reverse=reverse), key)

    def on_change(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(change)`` for each change of this table. Usable as a decorator."""
        self._subscribers.add_callback(callback, lambda change: (change,), "change")
        return callback

    def on_insert(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(record)`` for each new row. Usable as a decorator.

        An async function runs in the event loop; a plain one in a thread of its own, so that it
        may block without harming anybody else. Calls of one callback never overlap.
        """
        self._subscribers.add_callback(
            callback, lambda change: (change.record,) if change.kind == "insert" else None, "record"
        )
        return callback

    def on_update(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(record, previous)`` for each changed row."""
        self._subscribers.add_callback(
            callback,
            lambda change: (change.record, change.previous) if change.kind == "update" else None,
            "record",
            "previous",
        )
        return callback

    def on_delete(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(record)`` with the last seen record of each row that left."""
        self._subscribers.add_callback(
            callback, lambda change: (change.record,) if change.kind == "delete" else None, "record"
        )
        return callback

    # For the portal and for views.

    def items(self) -> list[tuple[str, RecordT]]:
        """Return every record by id; safe in a callback's thread while the portal goes on."""
        rows = list(self._rows().items())
        return [(row_id, self._to_record(row_id, row)) for row_id, row in rows]

    def touch_views(self, row_id: str) -> None:
        """Tell the views that a row changed."""
        for view in self._views or ():
            view.touch(row_id)

    def reset_views(self) -> None:
        """Tell the views that everything may have changed."""
        for view in self._views or ():
            view.reset()

    @property
    def subscribers(self) -> Subscribers[Change[RecordT]]:
        """Whoever listens to this table."""
        return self._subscribers

    def has_subscribers(self) -> bool:
        """Return whether anyone listens to this table."""
        return bool(self._subscribers)

    def to_change(self, change: RowChange, source: ChangeSource) -> Change[RecordT]:
        """Return the typed form of a row change."""
        previous = None
        if change.previous is not None:
            previous = self._to_record(change.row_id, change.previous)
        record = self._to_record(change.row_id, change.row)
        committed_at = None
        if change.committed_at is not None:
            committed_at = datetime.fromisoformat(change.committed_at)
        return Change(self._name, change.kind, record, previous, source, change.n, committed_at)

    def deliver(self, change: Change[Any]) -> None:
        """Hand a change to this table's subscribers."""
        self._subscribers.push(change)

    def forget(self, row_id: str) -> None:
        """Drop the cached record of a row that left."""
        self._records.pop(row_id, None)

    def close(self) -> None:
        """End every stream of this table."""
        self._subscribers.close()

    def _rows(self) -> Mapping[str, Row]:
        return self._replica().tables.get(self._name, {})

    def _to_record(self, row_id: str, row: Row) -> RecordT:
        cached = self._records.get(row_id)
        if cached is not None and cached[0] is row:
            return cached[1]
        try:
            record: RecordT = self._validate(row)  # as model_validate, which only adds options
        except ValidationError:
            record = construct_leniently(self._model, row)
        self._records[row_id] = (row, record)
        return record


class MessageTable(LiveTable[Message]):
    """The thread between the customer and the staff."""

    @property
    def unread_count(self) -> int:
        """Messages from staff that the customer has not read."""
        rows = list(self._rows().values())
        return sum(row.get("sender") == "staff" and row.get("read_at") is None for row in rows)


class LoyaltyTable(LiveTable[LoyaltyTransaction]):
    """The customer's points ledger."""

    @property
    def balance(self) -> int:
        """Points after the latest entry; 0 without entries."""
        latest = max(self, key=lambda entry: entry.entry_no, default=None)
        return 0 if latest is None else latest.balance_after


class ProfileTable(LiveTable[Customer]):
    """The customer's own record, as a table of one row."""

    @property
    def record(self) -> Customer | None:
        """The customer, or None before the first snapshot."""
        return next(iter(self), None)


def _is_naive(value: object) -> bool:
    """Return whether it is a time that equals none of the database, whose times have a zone."""
    return isinstance(value, datetime) and value.tzinfo is None


_MISSING = object()
