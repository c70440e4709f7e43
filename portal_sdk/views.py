"""Derived views: a live table filtered, sorted or grouped, always as current as the table.

A view does nothing until somebody reads it; then it takes in only what changed since the last
time. The application's functions run where the view is read, never inside the portal.
"""

from __future__ import annotations

import functools
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, overload

from portal_sdk._runtime.delivery import Stream, check_callback, is_async_function
from portal_sdk.errors import ConfigurationError
from portal_sdk.models import PortalModel
from portal_sdk.types import Change, ChangeKind

RecordT = TypeVar("RecordT", bound=PortalModel)
RecordT_co = TypeVar("RecordT_co", bound=PortalModel, covariant=True)
KeyT = TypeVar("KeyT")
CallbackT = TypeVar("CallbackT", bound=Callable[..., Any])
MOST_DIRTY = 1000
"""With more changed rows than this at once, everything is sorted anew."""


class ViewedTable(Protocol[RecordT]):
    """What a view needs of its table."""

    def get(self, row_id: str) -> RecordT | None:
        """Return the record, or None."""
        ...

    def items(self) -> list[tuple[str, RecordT]]:
        """Return every record by id."""
        ...

    def changes(self) -> Stream[Change[RecordT]]:
        """Return an async iterator over every change from now on."""
        ...

    def on_change(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(change)`` for each change."""
        ...


class TableView(Sequence[RecordT], Generic[RecordT]):
    """The records of a table that match, in order; made by ``table.view``.

    It is a sequence: ``view[0]``, ``len(view)``, ``for record in view``. Reading takes time for the
    rows that changed since the last reading. A function of the application that raises, raises at
    the reader.
    """

    def __init__(
        self,
        table: ViewedTable[RecordT],
        where: Callable[[RecordT], object] | None,
        sort_key: Callable[[RecordT], Any] | None,
        *,
        reverse: bool,
        limit: int | None,
    ) -> None:
        for name, value in (("where", where), ("sort_key", sort_key)):
            if value is not None and not callable(value):
                raise ConfigurationError(f"{name} must be a function of a record, not {value!r}")
        if limit is not None and (isinstance(limit, bool) or limit < 1):
            raise ConfigurationError(f"limit must be 1 or more, not {limit!r}")
        self._table = table
        self._where = where
        self._sort_key = sort_key
        self._is_reversed = reverse
        self._limit = limit
        self._is_fresh = False
        self._dirty: dict[str, None] = {}
        self._keys: dict[str, tuple[Any, str]] = {}
        self._order: list[tuple[Any, str]] = []
        self._records: dict[str, RecordT] = {}
        self._shown: list[RecordT] | None = None

    # Reading.

    @overload
    def __getitem__(self, index: int) -> RecordT: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordT]: ...
    def __getitem__(self, index: int | slice) -> RecordT | list[RecordT]:
        return self._read()[index]

    def __len__(self) -> int:
        return len(self._read())

    def __iter__(self) -> Iterator[RecordT]:
        return iter(list(self._read()))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {getattr(self._table, 'name', 'a table')}>"

    # Following.

    def changes(self) -> ViewStream[RecordT]:
        """Return an async iterator over the changes of the records that match, from now on.

        The changes are as the view sees them: a record that begins to match is an ``insert``, one
        that ceases to match is a ``delete``. ``limit`` does not count here.

        Raises (while iterating):
            SlowConsumerError: The reader fell ``queue_capacity`` changes behind.

        Cancellation:
            Safe; no change is lost.
        """
        return ViewStream(self._table.changes(), self._seen)

    def on_change(self, callback: CallbackT) -> CallbackT:
        """Call ``callback(change)`` for each change as the view sees it. Usable as a decorator.

        An async function runs in the event loop; a plain one in a thread of its own.
        """
        check_callback(callback, "change")
        if is_async_function(callback):

            @functools.wraps(callback)
            async def call_async(change: Change[RecordT]) -> None:
                seen = self._seen(change)
                if seen is not None:
                    await callback(seen)

            self._table.on_change(call_async)
        else:

            @functools.wraps(callback)
            def call(change: Change[RecordT]) -> Any:
                seen = self._seen(change)
                return None if seen is None else callback(seen)

            self._table.on_change(call)
        return callback

    # For the table and for groups.

    def shown(self) -> list[RecordT]:
        """Return the records in order; the same list until something changes."""
        return self._read()

    def touch(self, row_id: str) -> None:
        """Note that a row changed; the next reader looks at it again."""
        if self._is_fresh:
            self._dirty[row_id] = None
            self._is_fresh = len(self._dirty) <= MOST_DIRTY

    def reset(self) -> None:
        """Note that everything may have changed."""
        self._is_fresh = False

    # Private.

    def _seen(self, change: Change[RecordT]) -> Change[RecordT] | None:
        """Return the change as the view sees it, or None if it sees nothing of it."""
        was_in = change.kind != "insert" and self._matches(change.previous or change.record)
        is_in = change.kind != "delete" and self._matches(change.record)
        if not was_in and not is_in:
            return None
        kind: ChangeKind = "update" if was_in and is_in else "insert" if is_in else "delete"
        previous = change.previous if was_in else None
        return Change(
            change.table, kind, change.record, previous, change.source, change.n,
            change.committed_at,
        )  # fmt: skip

    def _matches(self, record: RecordT) -> bool:
        return self._where is None or bool(self._where(record))

    def _read(self) -> list[RecordT]:
        if not self._is_fresh:
            self._rebuild()
        elif self._dirty:
            self._take_dirty()
        if self._shown is None:
            ids = [row_id for _key, row_id in self._order]
            if self._is_reversed:
                ids.reverse()
            self._shown = [self._records[row_id] for row_id in ids[: self._limit]]
        return self._shown

    def _rebuild(self) -> None:
        self._dirty = {}
        records = {
            row_id: record for row_id, record in self._table.items() if self._matches(record)
        }
        keys = {row_id: self._key(row_id, record) for row_id, record in records.items()}
        self._order = sorted(keys.values())
        self._keys, self._records, self._shown = keys, records, None
        self._is_fresh = True

    def _take_dirty(self) -> None:
        dirty, self._dirty = self._dirty, {}
        self._shown = None
        try:
            for row_id in dirty:
                self._take(row_id)
        except BaseException:
            self._is_fresh = False  # a function of the application raised half-way
            raise

    def _take(self, row_id: str) -> None:
        old_key = self._keys.pop(row_id, None)
        if old_key is not None:
            del self._order[bisect_left(self._order, old_key)]
            del self._records[row_id]
        record = self._table.get(row_id)
        if record is not None and self._matches(record):
            key = self._key(row_id, record)
            insort(self._order, key)
            self._keys[row_id], self._records[row_id] = key, record

    def _key(self, row_id: str, record: RecordT) -> tuple[Any, str]:
        return (None if self._sort_key is None else _Nullable(self._sort_key(record))), row_id


@functools.total_ordering
class _Nullable:
    """A sort key that may be None; None comes last."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Nullable) and bool(self.value == other.value)

    def __lt__(self, other: _Nullable) -> bool:
        if self.value is None or other.value is None:
            return self.value is not None
        return bool(self.value < other.value)

    __hash__ = None  # type: ignore[assignment]


class ViewStream(AsyncIterator[Change[RecordT]], Generic[RecordT]):
    """The changes of a view; ends when the portal closes. Cancellation: safe."""

    def __init__(
        self,
        stream: Stream[Change[RecordT]],
        seen: Callable[[Change[RecordT]], Change[RecordT] | None],
    ) -> None:
        self._stream = stream
        self._seen = seen

    async def __anext__(self) -> Change[RecordT]:
        while True:
            seen = self._seen(await anext(self._stream))
            if seen is not None:
                return seen

    async def aclose(self) -> None:
        """Stop delivering to this stream."""
        await self._stream.aclose()


class GroupedView(Mapping[KeyT, list[RecordT]], Generic[KeyT, RecordT]):
    """The records of a table by a key of theirs; made by ``table.group_by``.

    It is a mapping from key to records, in the order of ``sort_key``. A group without records is
    not there.
    """

    def __init__(self, view: TableView[RecordT], key: Callable[[RecordT], KeyT]) -> None:
        if not callable(key):
            raise ConfigurationError(f"key must be a function of a record, not {key!r}")
        self._view = view
        self._key = key
        self._grouped: list[RecordT] | None = None
        self._groups: dict[KeyT, list[RecordT]] = {}

    def __getitem__(self, key: KeyT) -> list[RecordT]:
        return list(self._read()[key])

    def __iter__(self) -> Iterator[KeyT]:
        return iter(list(self._read()))

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return f"<GroupedView of {self._view!r}>"

    def _read(self) -> dict[KeyT, list[RecordT]]:
        records = self._view.shown()
        if records is not self._grouped:
            groups: dict[KeyT, list[RecordT]] = {}
            for record in records:
                groups.setdefault(self._key(record), []).append(record)
            self._groups, self._grouped = groups, records
        return self._groups
