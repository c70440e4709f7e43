"""The stream of row changes of the plain layer, with its gaps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, cast

from pydantic import BaseModel, ValidationError

from portal_sdk._core.json_value import as_object
from portal_sdk._runtime.delivery import Stream, Subscribers
from portal_sdk._runtime.room_hub import RoomHub
from portal_sdk._runtime.room_link import BAD_BINDING, RoomOptions
from portal_sdk.errors import (
    JoinRejectedError,
    PortalClosedError,
    PortalError,
    ReadyTimeoutError,
    SlowConsumerError,
    StateError,
)
from portal_sdk.types import Row

ModelT = TypeVar("ModelT", bound=BaseModel)
RecordT_co = TypeVar("RecordT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class TableChange(Generic[RecordT_co]):
    """One row change as Realtime tells it.

    Attributes:
        kind: ``insert``, ``update`` or ``delete``.
        record: The row after the change as Realtime read it; None for a delete.
        old: What is known of the row before: the primary key, unless the table has REPLICA
            IDENTITY FULL; empty for an insert.
        committed_at: The commit instant, in milliseconds; not unique, not an order.
    """

    kind: Literal["insert", "update", "delete"]
    record: RecordT_co | None
    old: Row
    committed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes may have been missed before this moment: read the table again now.

    The first item of every stream is a gap, because nothing before it was heard.

    Attributes:
        reason: ``started``, ``rejoined`` (the connection was away), ``resubscribed`` (the server
            restarted its stream), ``unreadable`` (a change came without its values) or
            ``overflow`` (the reader was too slow).
    """

    reason: Literal["started", "rejoined", "resubscribed", "unreadable", "overflow"]


class TableChanges(AsyncIterator[TableChange[ModelT] | Gap], Generic[ModelT]):
    """A stream of row changes and gaps; made by ``RealtimeClient.table_changes``.

    Iterate it inside ``async with``. The first item is ``Gap("started")``.
    """

    def __init__(
        self, hub: RoomHub, model: type[ModelT], binding: tuple[str, str, str, str | None]
    ) -> None:
        self._model = model
        self._config = hub.config
        self._was_joined = self._is_entered = self._is_ended = False
        self._refusal: PortalError | None = None
        self._joined = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._items: Subscribers[TableChange[ModelT] | Gap] = Subscribers(
            hub.config.queue_capacity, self._tasks
        )
        self._stream: Stream[TableChange[ModelT] | Gap] = self._items.stream()
        topic = f"changes:{binding[2]}"
        self._runner = hub.create(RoomOptions(topic=topic, is_private=False, binding=binding), self)

    @property
    def is_joined(self) -> bool:
        """Whether changes are streamed now."""
        return self._runner.is_joined

    @property
    def last_error(self) -> PortalError | None:
        """Why they are not, or None."""
        return self._runner.last_error

    async def __aenter__(self) -> Self:
        if self._is_entered:
            raise StateError("A stream is entered once; make a new one")
        if self._is_ended:
            raise PortalClosedError("The stream was closed; make a new one")
        self._is_entered = True
        self._runner.start()
        try:
            async with asyncio.timeout(self._config.join_timeout_s):
                await self._joined.wait()
        except TimeoutError:
            cause = self._runner.last_error
            await self.close()
            raise ReadyTimeoutError(
                f"The changes are not streamed yet: {cause or 'no answer'}"
            ) from cause
        except BaseException:
            await self.close()
            raise
        if self._refusal is not None:
            refusal = self._refusal
            await self.close()
            raise refusal
        if self._is_ended:
            raise PortalClosedError("Closed while the stream was entered")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def __anext__(self) -> TableChange[ModelT] | Gap:
        if not (self._is_entered or self._is_ended):
            raise StateError(
                "Enter the stream first: async with client.table_changes(...) as changes"
            )
        try:
            return await anext(self._stream)
        except SlowConsumerError:
            self._stream = self._items.stream()
            return Gap("overflow")

    async def close(self) -> None:
        """Stop streaming; iteration ends. Calling it twice is harmless."""
        await self._runner.close()

    # Told by the runner.

    def joined(self) -> None:
        """Changes are streamed from now on."""
        self._push(Gap("rejoined" if self._was_joined else "started"))
        self._was_joined = True
        self._joined.set()

    def lost(self, error: PortalError) -> None:
        """The gap is reported once the stream runs again: reading earlier would be in vain."""
        is_permanent = isinstance(error, JoinRejectedError) and error.code == BAD_BINDING
        if is_permanent and not self._joined.is_set():
            self._refusal = error
            self._joined.set()

    def doubted(self) -> None:
        """The server restarted its stream, or a frame could not be read."""
        self._push(Gap("resubscribed"))

    def presence(self, event: str, payload: Row) -> None:
        """Not here."""

    def broadcast(self, event: str, payload: Row) -> None:
        """Not here."""

    def change(self, payload: Row) -> None:
        """Decode one change; what has no values is a gap."""
        change = self._read(payload.get("data"))
        self._push(change if change is not None else Gap("unreadable"))

    def ended(self) -> None:
        """The stream is closed, by its user or together with the client."""
        self._is_ended = True
        self._items.close()
        self._joined.set()

    def _push(self, item: TableChange[ModelT] | Gap) -> None:
        self._items.push(item)

    def _read(self, value: Any) -> TableChange[ModelT] | None:
        data = as_object(value)
        if data is None or data.get("errors"):
            return None
        kind = str(data.get("type", "")).lower()
        if kind not in {"insert", "update", "delete"}:
            return None
        record = None
        if kind != "delete":
            try:
                record = self._model.model_validate(data.get("record"))
            except ValidationError:
                return None
        instant = data.get("commit_timestamp")
        at = datetime.fromisoformat(instant) if isinstance(instant, str) else None
        return TableChange(
            cast("Literal['insert', 'update', 'delete']", kind),
            record,
            as_object(data.get("old_record")) or {},
            at,
        )
