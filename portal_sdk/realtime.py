"""The plain layer: database changes, presence and broadcast on any topic, with any sign-in.

For staff tools and for those who build something else than a portal. Nothing here is gap-free:
Supabase Realtime delivers at most once, and this layer says so (``Gap``) instead of hiding it.
What must be right belongs into ``Portal``, or is read again from the database after every gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Self, TypeVar, cast
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from portal_sdk._arguments import check_api_key, check_model, parse_project_url
from portal_sdk._core.presence import Member, PresenceChange
from portal_sdk._runtime.http import HttpApi
from portal_sdk._runtime.http_pool import PooledHttp
from portal_sdk._runtime.room_hub import RoomHub
from portal_sdk._runtime.token_keeper import TokenKeeper
from portal_sdk._runtime.tokens import Auth
from portal_sdk.config import PortalConfig
from portal_sdk.errors import (
    ConfigurationError,
    PortalClosedError,
    ProtocolError,
    ReadyTimeoutError,
    RequestTimeoutError,
    StateError,
)
from portal_sdk.models import TABLE_MODELS
from portal_sdk.rooms import Broadcast, BroadcastRoom, PresenceRoom, TypingIndicator
from portal_sdk.table_changes import Gap, TableChange, TableChanges
from portal_sdk.types import Row

ModelT = TypeVar("ModelT", bound=BaseModel)
RecordT_co = TypeVar("RecordT_co", covariant=True)
EventName = Literal["*", "INSERT", "UPDATE", "DELETE"]
PAGE_ROWS = 1000
EVENTS = ("*", "INSERT", "UPDATE", "DELETE")


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
        self._is_closed = False

    async def __aenter__(self) -> Self:
        if self._keeper is not None:
            raise StateError("A client is entered once; make a new one")
        if self._is_closed:
            raise PortalClosedError("The client is closed; make a new one")
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
        if self._is_closed:
            raise PortalClosedError("The client was closed while it was entered")
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
        self._is_closed = True
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
            ConfigurationError: No model, an unknown event, no table, or a filter without column and
                operator.
            StateError: The client is not entered.
            JoinRejectedError: While entering: no such table or column, says the server.
        """
        check_model(model)
        name = table or _table_of(model)
        if event not in EVENTS:
            raise ConfigurationError(f"event must be one of {', '.join(EVENTS)}, not {event!r}")
        _split_filter(filter)
        self._signed_in()
        return TableChanges(self._hub, model, (event, schema, name, filter))

    async def read(
        self,
        model: type[ModelT],
        filter: str | None = None,  # noqa: A002 - the name it has in Supabase
        *,
        table: str | None = None,
    ) -> list[ModelT]:
        """Read every row the caller may see: what to do at every ``Gap``.

        The rows come in pages of 1,000 in the order of their ids, so a row that is inserted or
        deleted meanwhile does not make another one be missed.

        Args:
            model: Pydantic model of the rows; the table has a column ``id``.
            filter: As for ``table_changes``, such as ``customer_id=eq.<uuid>``.
            table: Table name; for the SDK's own models it is known.

        Raises:
            ConfigurationError: No model, no table, or a filter without a column.
            StateError: The client is not entered.
            PortalError: It could not be read; ``retryable`` says whether to try again.

        Cancellation:
            Safe.
        """
        check_model(model)
        name = table or _table_of(model)
        column, condition = _split_filter(filter)
        self._signed_in()
        records: list[ModelT] = []
        params = {"select": "*", "order": "id", "limit": str(PAGE_ROWS)}
        if column:
            params[column] = condition
        while True:
            rows = await self._get(name, params)
            try:
                records += [model.model_validate(row) for row in rows]
                if len(rows) < PAGE_ROWS:
                    return records
                params["and"] = f"(id.gt.{rows[-1]['id']})"
            except (ValidationError, KeyError) as error:
                raise ProtocolError(f"The rows of {name} do not fit {model.__name__}") from error

    async def _get(self, table: str, params: Mapping[str, str]) -> list[Row]:
        if self._http is None:
            raise StateError("Enter the client first: async with RealtimeClient(...) as client")
        try:
            async with asyncio.timeout(self._config.request_timeout_s):
                rows = await self._http.request(
                    "GET", f"/rest/v1/{quote(table, safe='')}", params=params,
                    token=self.access_token,
                )  # fmt: skip
        except TimeoutError as error:
            raise RequestTimeoutError(f"The rows of {table} did not come in time") from error
        if not isinstance(rows, list):
            raise ProtocolError(f"The table {table} answered something unexpected")
        return cast("list[Row]", rows)

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
        if self._is_closed:
            raise PortalClosedError("The client is closed; make a new one")
        if self._keeper is None:
            raise StateError("Enter the client first: async with RealtimeClient(...) as client")
        return self._keeper

    def _renewed(self) -> None:
        if self._keeper is not None:
            self._hub.steer(self._keeper.token, is_resting=False)

    def _reject(self) -> None:
        if self._keeper is not None:
            self._keeper.reject()


def _table_of(model: type[BaseModel]) -> str:
    for name, known in TABLE_MODELS.items():
        if known is model:
            return name
    raise ConfigurationError(f"Name the table of {model.__name__}: table_changes(..., table=...)")


def _split_filter(value: object) -> tuple[str, str]:
    """Return the column and the condition; Realtime says only after joining what is wrong."""
    if value is None:
        return "", ""
    column, _, condition = value.partition("=") if isinstance(value, str) else ("", "", "")
    operator, dot, _ = condition.partition(".")
    if not (column.strip() and operator.strip() and dot):
        raise ConfigurationError(f"A filter looks like customer_id=eq.<uuid>, not {value!r}")
    return column, condition


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
