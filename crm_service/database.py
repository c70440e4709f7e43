"""One HTTP call to PostgREST, as the member of staff who asked; the only module that sends one.

Not by the official ``postgrest`` client: its errors carry neither the HTTP status nor
``Retry-After``, it would retry reads for seconds, and a call through it costs more than the whole
rest of a request (docs/decisions).
"""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx
from pydantic_core import from_json, to_json

from crm_service.auth import Subject
from crm_service.errors import (
    BusyError,
    UpstreamContractError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from crm_service.metrics import Metrics
from crm_service.row_text import RowsText
from crm_service.settings import Settings
from crm_service.upstream_errors import error_from_response
from crm_service.wire import (
    Answer,
    BrokenError,
    ConnectError,
    HeaderLines,
    PooledWire,
    TransportWire,
    Wire,
    WireError,
)

# What most names and values are made of; to find that out costs less than to quote them.
_PLAIN = re.compile(r"[A-Za-z0-9_.~*,:()=&-]*")

Row = dict[str, Any]
Query = dict[str, str] | Sequence[tuple[str, str]]
# Sessions whose headers are kept printed.
_MAX_SESSIONS = 10_000

_UNKNOWN_RESULT = (
    " Whether the change was made is unknown: send it again with the same id or Idempotency-Key."
)


class Caller(NamedTuple):
    """On whose behalf a call is made, and under which ids the audit records it."""

    subject: Subject
    request_id: str
    idempotency_key: str | None = None
    fingerprint: str | None = None

    def without_key(self) -> "Caller":
        """Return the same caller for a call that is no part of the keyed request."""
        return Caller(self.subject, self.request_id)


class _Call(NamedTuple):
    """One request to PostgREST: what is sent, and whether sending it twice does no harm."""

    method: str
    target: str
    headers: dict[str, str]
    content: bytes | None
    session: HeaderLines
    reads: bool


def create_http_client(
    settings: Settings, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """Create the client for everything but PostgREST; it lives as long as the application.

    Args:
        settings: Limits and time-outs.
        transport: Replaces the network, for tests of a failing Supabase.
    """
    return httpx.AsyncClient(
        timeout=httpx.Timeout(settings.database_timeout_s),
        follow_redirects=False,
        trust_env=False,
        transport=transport,
    )


def create_wire(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> Wire:
    """Create the way to PostgREST, in a running event loop; it lives as long as the application.

    Args:
        settings: Address and limits.
        transport: Replaces the network, for tests of a failing database.
    """
    parts = urlsplit(settings.rest_url)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if transport is not None:
        return TransportWire(transport, origin)
    tls = httpx.create_ssl_context(trust_env=False) if parts.scheme == "https" else None
    return PooledWire(origin, keepalive_s=settings.database_keepalive_s, tls=tls)


def render_query(query: Query) -> str:
    """Return a query for an address, everything but plain text quoted."""
    pairs = query.items() if isinstance(query, dict) else query
    text = "&".join([f"{name}={value}" for name, value in pairs])
    # As many of both as stand between names and values, and so none within.
    whole = text.count("=") == len(pairs) == text.count("&") + 1
    if whole and _PLAIN.fullmatch(text):
        return text
    return "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in pairs])


def _quoted(text: str) -> str:
    return quote(text, safe="*,.:()")


class Database:
    """Calls to PostgREST; borrows the wire.

    All methods raise a ``ServiceError``: ``UpstreamError`` when there is no usable answer, and
    what ``upstream_errors`` makes of a refusal. Cancelling a read is safe; cancelling a write
    leaves open whether it took effect.
    """

    def __init__(self, wire: Wire, settings: Settings, metrics: Metrics | None = None) -> None:
        self._wire = wire
        self._metrics = metrics or Metrics()
        self._slots = asyncio.Semaphore(settings.database_connections)
        self._path = urlsplit(settings.rest_url).path
        self._api_key = settings.supabase_key.get_secret_value()
        self._session = lru_cache(_MAX_SESSIONS)(self._session_of)
        self._timeout_s = settings.database_timeout_s
        self._retry_after_s = settings.retry_after_s

    async def select(self, caller: Caller, table: str, query: Query) -> list[Row]:
        """Return the rows of ``table`` that match ``query`` and that the caller may see."""
        return self._rows(await self._ask(self._call("GET", table, caller, query=query)))

    async def select_text(self, caller: Caller, table: str, query: Query) -> RowsText:
        """Return the same as ``select``, as the database printed it."""
        answer = await self._send(self._call("GET", table, caller, query=query))
        return RowsText(answer.content)

    async def insert(self, caller: Caller, table: str, row: Row, query: Query = ()) -> Row:
        """Insert one row and return it as stored, or what ``query`` selects of it."""
        call = self._call("POST", table, caller, query=query, body=row)
        rows = self._rows(await self._ask(call))
        if len(rows) != 1:
            raise self.contract_error("The inserted row was not returned.")
        return rows[0]

    async def update(self, caller: Caller, table: str, query: Query, changes: Row) -> list[Row]:
        """Change the rows that match ``query``; return them as stored, possibly none."""
        call = self._call("PATCH", table, caller, query=query, body=changes)
        return self._rows(await self._ask(call))

    async def call_for_row(self, caller: Caller, function: str, arguments: Row) -> Row:
        """Call a database function that returns one row, and return it."""
        row = await self._ask(self._call("POST", f"rpc/{function}", caller, body=arguments))
        if not isinstance(row, dict):
            raise self.contract_error(f"The function {function} did not return a row.")
        return row

    async def ask(self, caller: Caller, function: str, arguments: Mapping[str, Any]) -> Any:
        """Call a function that only reads and return its answer; arguments are scalars."""
        query = {name: str(value) for name, value in arguments.items() if value is not None}
        return await self._ask(self._call("GET", f"rpc/{function}", caller, query=query))

    async def call(
        self, caller: Caller, function: str, arguments: Row, *, reads: bool = False
    ) -> Any:
        """Call a database function and return its answer, a JSON value.

        Args:
            caller: On whose behalf.
            function: Its name.
            arguments: By name, JSON values.
            reads: It changes nothing, so that it may be called again if the connection breaks.
        """
        call = self._call("POST", f"rpc/{function}", caller, body=arguments, reads=reads)
        return await self._ask(call)

    async def call_for_text(self, caller: Caller, function: str, arguments: Row) -> bytes:
        """Call a function that only reads and returns a JSON object, as the database printed it."""
        call = self._call("POST", f"rpc/{function}", caller, body=arguments, reads=True)
        text = (await self._send(call)).content
        if not text.startswith(b"{"):
            raise self.contract_error(f"The function {function} did not return an object.")
        return text

    async def probe(self) -> None:
        """Raise unless PostgREST, its database and our schema are there.

        Asked with the bare API key: a refusal by our grants is the healthy answer.

        Raises:
            UpstreamError: What is missing.
        """
        target = f"{self._path}/staff?limit=0"
        bare = HeaderLines({"apikey": self._api_key})
        answer = await self._exchange(_Call("GET", target, {}, None, bare, reads=True))
        refused = answer.status in {401, 403} and b'"42501"' in answer.content
        if not (answer.is_success or refused):
            raise self._error(answer)

    def _call(
        self,
        method: str,
        path: str,
        caller: Caller,
        *,
        query: Query = (),
        body: Any = None,
        reads: bool = False,
    ) -> _Call:
        headers = {"X-Request-Id": caller.request_id}
        if caller.idempotency_key is not None:
            headers["Idempotency-Key"] = caller.idempotency_key
            if caller.fingerprint is not None:
                # With it, the database lets the request take effect once (request_claims).
                headers["X-Request-Fingerprint"] = caller.fingerprint
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            headers["Prefer"] = "return=representation"
            content = to_json(body)
        target = f"{self._path}/{path}"
        if query:
            target += "?" + render_query(query)
        session = self._session(caller.subject.token.get_secret_value())
        return _Call(method, target, headers, content, session, reads or method == "GET")

    def _session_of(self, token: str) -> HeaderLines:
        """Return the headers that all requests of a session have."""
        return HeaderLines(
            {
                "apikey": self._api_key,
                "Authorization": f"Bearer {token}",
                "Accept": "application/json",
            }
        )

    async def _ask(self, call: _Call) -> Any:
        """Send a request and return its JSON."""
        return self._read((await self._send(call)).content)

    async def _send(self, call: _Call) -> Answer:
        """Send a request that must succeed, trying once more where nothing was done."""
        answer = await self._exchange(call)
        if answer.is_success:
            return answer
        refusal = self._error(answer)
        if not isinstance(refusal, BusyError):
            raise refusal
        # A serialization failure or deadlock was rolled back whole: once more is safe.
        answer = await self._exchange(call)
        if not answer.is_success:
            raise self._error(answer)
        return answer

    async def _exchange(self, call: _Call) -> Answer:
        started = time.perf_counter()
        outcome = "failed"
        try:
            answer = await self._attempt(call, started + self._timeout_s)
            outcome = str(answer.status)
        except (TimeoutError, WireError) as error:
            raise self._no_answer(call, error, time.perf_counter() - started) from error
        else:
            return answer
        finally:
            self._metrics.database_call(call.method, outcome, time.perf_counter() - started)

    async def _attempt(self, call: _Call, until_s: float) -> Answer:
        slots = self._slots
        if slots.locked():
            async with asyncio.timeout(until_s - time.perf_counter()):
                await slots.acquire()
        else:
            await slots.acquire()
        method, target, headers, content, session, reads = call
        try:
            wait_s = until_s - time.perf_counter()
            try:
                return await self._wire.exchange(method, target, headers, content, wait_s, session)
            except BrokenError:
                # Typically a kept connection that the server closed while idle.
                if not reads:
                    raise
            wait_s = until_s - time.perf_counter()
            return await self._wire.exchange(method, target, headers, content, wait_s, session)
        finally:
            slots.release()

    def _no_answer(
        self, call: _Call, error: TimeoutError | WireError, waited_s: float
    ) -> UpstreamTimeoutError | UpstreamUnavailableError:
        suffix = "" if call.reads else _UNKNOWN_RESULT
        retry_after_s = self._retry_after_s
        if isinstance(error, TimeoutError):
            what = f"The database did not answer within {waited_s:.1f} s.{suffix}"
            return UpstreamTimeoutError(what, retry_after_s=retry_after_s)
        what = f"The connection to the database broke.{suffix}"
        if isinstance(error, ConnectError):
            what = "The Supabase REST endpoint cannot be reached. Nothing was written; try again."
        return UpstreamUnavailableError(what, retry_after_s=retry_after_s)

    def read_rows(self, text: bytes) -> list[Row]:
        """Read the text of rows."""
        return self._rows(self._read(text))

    def _read(self, text: bytes) -> Any:
        try:
            return from_json(text)
        except ValueError as error:
            raise self.contract_error("The answer is not JSON.") from error

    def _rows(self, document: Any) -> list[Row]:
        if isinstance(document, list) and not [row for row in document if type(row) is not dict]:
            return document
        raise self.contract_error("The answer is not a list of rows.")

    def _error(self, answer: Answer) -> Exception:
        return error_from_response(
            answer.status, answer.headers, answer.content, retry_after_s=self._retry_after_s
        )

    def contract_error(self, what: str) -> UpstreamContractError:
        """Build the error for an answer that is not what was agreed."""
        return UpstreamContractError(
            f"{what} Is SUPABASE_URL the address of a Supabase project?",
            retry_after_s=self._retry_after_s,
        )
