"""The plain layer: database changes, presence and broadcast on any topic, with any sign-in.

For staff tools and for those who build something else than a portal. Nothing here is gap-free:
Supabase Realtime delivers at most once, and this layer says so (``Gap``) instead of hiding it.
What must be right belongs into ``Portal``, or is read again from the database after every gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, cast

from pydantic import BaseModel, ValidationError

from portal_sdk._core.presence import Member, PresenceChange
from portal_sdk._runtime.delivery import Stream, Subscribers
from portal_sdk._runtime.http import HttpApi
from portal_sdk._runtime.http_pool import PooledHttp
from portal_sdk._runtime.room_hub import RoomHub
from portal_sdk._runtime.room_link import RoomOptions
from portal_sdk._runtime.token_keeper import TokenKeeper
from portal_sdk._runtime.tokens import Auth
from portal_sdk.config import PortalConfig, check_api_key, parse_project_url
from portal_sdk.errors import ConfigurationError, PortalError, ReadyTimeoutError, StateError
from portal_sdk.models import TABLE_MODELS
from portal_sdk.rooms import Broadcast, BroadcastRoom, PresenceRoom, TypingIndicator
from portal_sdk.types import Row

ModelT = TypeVar("ModelT", bound=BaseModel)
RecordT_co = TypeVar("RecordT_co", covariant=True)
EventName = Literal["*", "INSERT", "UPDATE", "DELETE"]
EVENTS = ("*", "INSERT", "UPDATE", "DELETE")


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


class RealtimeClient:
    """A signed-in connection to Supabase Realtime, as an async context manager.

    Args:
        url: The project URL.
        key: The project's publishable (or anon) key.
        auth: How to sign in: ``PasswordAuth`` or ``TokenAuth``; staff or customer.
        config: Durations and limits.

    Raises:
        ConfigurationError: An argument cannot be right.
    """

    def __init__(
        self, url: str, key: str, *, auth: Auth, config: PortalConfig | None = None
    ) -> None:
        if not callable(getattr(auth, "token_source", None)):
            raise ConfigurationError("auth must be PasswordAuth(...) or TokenAuth(...)")
        self._url = parse_project_url(url)
        self._key = check_api_key(key)
        self._auth = auth
        self._config = config or PortalConfig()
        self._hub = RoomHub(self._url, self._key, self._config, self._reject)
        self._keeper: TokenKeeper | None = None
        self._http: HttpApi | None = None

    async def __aenter__(self) -> Self:
        if self._keeper is not None:
            raise StateError("A client is entered once; make a new one")
        client = PooledHttp(self._url, self._key, timeout_s=self._config.request_timeout_s)
        self._http = HttpApi(client, self._url)
        source = self._auth.token_source()
        self._keeper = TokenKeeper(source, self._http, self._config, self._renewed)
        self._keeper.start()
        try:
            async with asyncio.timeout(self._config.request_timeout_s):
                await self._keeper.answered.wait()
        except TimeoutError:
            cause = self._keeper.error
            await self.close()
            raise ReadyTimeoutError(f"Not signed in in time: {cause or 'no answer'}") from cause
        except BaseException:
            await self.close()
            raise
        if not self._keeper.token and self._keeper.error is not None:
            error = self._keeper.error
            await self.close()
            raise error
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave every channel and end every task. Calling it twice is harmless."""
        await self._hub.close()
        if self._keeper is not None:
            await self._keeper.close()
        if self._http is not None:
            await self._http.close()

    @property
    def access_token(self) -> str:
        """The newest access token, for requests of your own (the refetch after a gap)."""
        return self._signed_in().token

    def table_changes(
        self,
        model: type[ModelT],
        event: EventName = "*",
        filter: str | None = None,  # noqa: A002 - the name it has in Supabase
        *,
        table: str | None = None,
        schema: str = "public",
    ) -> TableChanges[ModelT]:
        """Return a live stream of row changes; enter it with ``async with``.

        Honest semantics, which are those of Supabase's ``postgres_changes``:

        * At most once. Whatever happens while the connection is away, while the server restarts
          its stream, or when a batch fails on the server, is never sent. Every known occasion is
          reported as a ``Gap``; some the server does not tell of. Read the table again after each
          gap, and now and then without one.
        * Row-level security is applied to the row as it is when Realtime reads the log, not as it
          was at the commit. A row that leaves the caller's sight gives no event.
        * A DELETE is sent to everyone who listens to the table, whatever the policies say, with
          the primary key only, and a filter on another column suppresses it.
        * ``old`` holds the primary key only, unless the table has REPLICA IDENTITY FULL.
        * The order is the commit order within one connection. There is no position to resume from.

        Args:
            model: Pydantic model of the rows; unknown columns are up to the model.
            event: ``*``, ``INSERT``, ``UPDATE`` or ``DELETE``.
            filter: Such as ``customer_id=eq.<uuid>``; see Supabase's filter syntax.
            table: Table name; for the SDK's own models it is known.
            schema: Schema name.

        Raises:
            ConfigurationError: An unknown event, or no table.
            StateError: The client is not entered.
        """
        name = table or _table_of(model)
        if event not in EVENTS:
            raise ConfigurationError(f"event must be one of {', '.join(EVENTS)}, not {event!r}")
        self._signed_in()
        return TableChanges(self._hub, model, (event, schema, name, filter))

    def presence(self, topic: str, meta: Row | None = None, *, key: str = "") -> PresenceRoom:
        """Return a presence room on any private topic; see ``Portal.presence``.

        Args:
            topic: The whole topic, such as ``customer:<id>:lobby`` or ``staff:desk``.
            meta: What the others see of us; None only watches.
            key: Key of our own entry; empty is the user id.
        """
        user_id = self._signed_in().user_id
        return PresenceRoom(self._hub, _check_topic(topic), topic, key or user_id, meta)

    def broadcast(self, topic: str, *, hears_self: bool = False) -> BroadcastRoom:
        """Return a broadcast room on any private topic; see ``Portal.broadcast``."""
        key = self._signed_in().user_id
        return BroadcastRoom(self._hub, _check_topic(topic), topic, key, hears_self=hears_self)

    def _signed_in(self) -> TokenKeeper:
        if self._keeper is None:
            raise StateError("Enter the client first: async with RealtimeClient(...) as client")
        return self._keeper

    def _renewed(self) -> None:
        self._hub.steer(self._signed_in().token, is_resting=False)

    def _reject(self) -> None:
        if self._keeper is not None:
            self._keeper.reject()


class TableChanges(AsyncIterator[TableChange[ModelT] | Gap], Generic[ModelT]):
    """A stream of row changes and gaps; made by ``RealtimeClient.table_changes``.

    Iterate it inside ``async with``. The first item is ``Gap("started")``.
    """

    def __init__(
        self, hub: RoomHub, model: type[ModelT], binding: tuple[str, str, str, str | None]
    ) -> None:
        self._model = model
        self._config = hub.config
        self._was_joined = False
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
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def __anext__(self) -> TableChange[ModelT] | Gap:
        return await anext(self._stream)

    async def close(self) -> None:
        """Stop streaming; iteration ends. Calling it twice is harmless."""
        await self._runner.close()
        self._items.close()

    # Told by the runner.

    def joined(self) -> None:
        """Changes are streamed from now on."""
        self._push(Gap("rejoined" if self._was_joined else "started"))
        self._was_joined = True
        self._joined.set()

    def lost(self, error: PortalError) -> None:
        """The gap is reported once the stream runs again: reading earlier would be in vain."""

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

    def _push(self, item: TableChange[ModelT] | Gap) -> None:
        self._items.push(item)

    def _read(self, data: Any) -> TableChange[ModelT] | None:
        if not isinstance(data, dict) or data.get("errors"):
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
        old = data.get("old_record")
        return TableChange(
            cast("Literal['insert', 'update', 'delete']", kind),
            record,
            old if isinstance(old, dict) else {},
            at,
        )


def _table_of(model: type[BaseModel]) -> str:
    for name, known in TABLE_MODELS.items():
        if known is model:
            return name
    raise ConfigurationError(f"Name the table of {model.__name__}: table_changes(..., table=...)")


def _check_topic(topic: object) -> str:
    if not isinstance(topic, str) or not topic.strip():
        raise ConfigurationError("A topic must be a text that is not empty")
    return topic


__all__ = [
    "Broadcast",
    "BroadcastRoom",
    "Gap",
    "Member",
    "PresenceChange",
    "PresenceRoom",
    "RealtimeClient",
    "TableChange",
    "TableChanges",
    "TypingIndicator",
]
