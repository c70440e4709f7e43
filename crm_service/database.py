"""One HTTP call to PostgREST, as the member of staff who asked; the only module that sends one.

The shared ``httpx`` client is used directly: the errors of the official ``postgrest`` client
carry neither the HTTP status nor ``Retry-After``, and it would retry reads for seconds.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic_core import to_json

from crm_service.auth import Subject
from crm_service.errors import (
    BusyError,
    UpstreamContractError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from crm_service.metrics import Metrics
from crm_service.settings import Settings
from crm_service.upstream_errors import error_from_response

Row = dict[str, Any]
Query = Mapping[str, str] | Sequence[tuple[str, str]]

_READS = "crm_service.reads"
_UNKNOWN_RESULT = (
    " Whether the change was made is unknown: send it again with the same id or Idempotency-Key."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a call is made, and under which ids the audit records it."""

    subject: Subject
    request_id: str
    idempotency_key: str | None = None
    fingerprint: str | None = None

    def without_key(self) -> "Caller":
        """Return the same caller for a call that is no part of the keyed request."""
        return Caller(self.subject, self.request_id)


def create_http_client(
    settings: Settings, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """Create the one client that lives as long as the application.

    Args:
        settings: Limits and time-outs.
        transport: Replaces the network, for tests of a failing database.
    """
    return httpx.AsyncClient(
        timeout=httpx.Timeout(settings.database_timeout_s),
        limits=httpx.Limits(
            max_connections=settings.database_connections,
            max_keepalive_connections=settings.database_connections,
            keepalive_expiry=settings.database_keepalive_s,
        ),
        follow_redirects=False,
        trust_env=False,
        transport=transport,
    )


class Database:
    """Calls to PostgREST; borrows the HTTP client.

    All methods raise a ``ServiceError``: ``UpstreamError`` when there is no usable answer, and
    what ``upstream_errors`` makes of a refusal. Cancelling a read is safe; cancelling a write
    leaves open whether it took effect.
    """

    def __init__(
        self, http: httpx.AsyncClient, settings: Settings, metrics: Metrics | None = None
    ) -> None:
        self._http = http
        self._metrics = metrics or Metrics()
        # Waiting here costs nothing; httpx looks through its whole pool for every waiting call.
        self._slots = asyncio.Semaphore(settings.database_connections)
        self._url = settings.rest_url
        self._api_key = settings.supabase_key.get_secret_value()
        self._timeout_s = settings.database_timeout_s
        self._retry_after_s = settings.retry_after_s

    async def select(self, caller: Caller, table: str, query: Query) -> list[Row]:
        """Return the rows of ``table`` that match ``query`` and that the caller may see."""
        request = self._request("GET", table, caller, query=query)
        return self._rows(await self._send(request))

    async def insert(self, caller: Caller, table: str, row: Row) -> Row:
        """Insert one row and return it as stored."""
        request = self._request("POST", table, caller, body=row)
        rows = self._rows(await self._send(request))
        if len(rows) != 1:
            raise self.contract_error("The inserted row was not returned.")
        return rows[0]

    async def update(self, caller: Caller, table: str, query: Query, changes: Row) -> list[Row]:
        """Change the rows that match ``query``; return them as stored, possibly none."""
        request = self._request("PATCH", table, caller, query=query, body=changes)
        return self._rows(await self._send(request))

    async def call_for_row(self, caller: Caller, function: str, arguments: Row) -> Row:
        """Call a database function that returns one row, and return it."""
        request = self._request("POST", f"rpc/{function}", caller, body=arguments)
        row = await self._send(request)
        if not isinstance(row, dict):
            raise self.contract_error(f"The function {function} did not return a row.")
        return row

    async def ask(self, caller: Caller, function: str, arguments: Mapping[str, Any]) -> Any:
        """Call a function that only reads and return its answer; arguments are scalars."""
        query = {name: str(value) for name, value in arguments.items() if value is not None}
        return await self._send(self._request("GET", f"rpc/{function}", caller, query=query))

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
        request = self._request("POST", f"rpc/{function}", caller, body=arguments)
        request.extensions = {**request.extensions, _READS: reads}
        return await self._send(request)

    async def probe(self) -> None:
        """Raise unless PostgREST, its database and our schema are there.

        Asked with the bare API key: a refusal by our grants is the healthy answer.

        Raises:
            UpstreamError: What is missing.
        """
        request = self._http.build_request(
            "GET", f"{self._url}/staff", params={"limit": "0"}, headers={"apikey": self._api_key}
        )
        response = await self._exchange(request)
        refused = response.status_code in {401, 403} and b'"42501"' in response.content
        if not (response.is_success or refused):
            raise self._error(response)

    def _request(
        self,
        method: str,
        path: str,
        caller: Caller,
        *,
        query: Query = (),
        body: Any = None,
    ) -> httpx.Request:
        headers = {
            "apikey": self._api_key,
            "Authorization": f"Bearer {caller.subject.token.get_secret_value()}",
            "Accept": "application/json",
            "X-Request-Id": caller.request_id,
        }
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
        pairs = query.items() if isinstance(query, Mapping) else query
        params = httpx.QueryParams(list(pairs)) if pairs else None
        return self._http.build_request(
            method, f"{self._url}/{path}", params=params, headers=headers, content=content
        )

    async def _send(self, request: httpx.Request) -> Any:
        """Send a request and return its JSON, trying once more where nothing was done."""
        try:
            return self._parsed(await self._exchange(request))
        except BusyError:
            # A serialization failure or deadlock was rolled back whole: once more is safe.
            return self._parsed(await self._exchange(request))

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        is_read = request.method == "GET" or bool(request.extensions.get(_READS))
        suffix = "" if is_read else _UNKNOWN_RESULT
        started = time.perf_counter()
        outcome = "failed"
        try:
            async with asyncio.timeout(self._timeout_s), self._slots:
                response = await self._attempt(request, is_read=is_read)
            outcome = str(response.status_code)
        except (TimeoutError, httpx.TimeoutException) as error:
            waited_s = time.perf_counter() - started
            raise UpstreamTimeoutError(
                f"The database did not answer within {waited_s:.1f} s.{suffix}",
                retry_after_s=self._retry_after_s,
            ) from error
        except httpx.ConnectError as error:
            raise UpstreamUnavailableError(
                "The Supabase REST endpoint cannot be reached. Nothing was written; try again.",
                retry_after_s=self._retry_after_s,
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UpstreamUnavailableError(
                f"The connection to the database broke.{suffix}",
                retry_after_s=self._retry_after_s,
            ) from error
        else:
            return response
        finally:
            self._metrics.database_call(request.method, outcome, time.perf_counter() - started)

    async def _attempt(self, request: httpx.Request, *, is_read: bool) -> httpx.Response:
        try:
            return await self._http.send(request)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            # Typically a pooled connection that the server closed while idle.
            if not is_read:
                raise
            return await self._http.send(request)

    def _parsed(self, response: httpx.Response) -> Any:
        if not response.is_success:
            raise self._error(response)
        try:
            return json.loads(response.content)
        except ValueError as error:
            raise self.contract_error("The answer is not JSON.") from error

    def _rows(self, document: Any) -> list[Row]:
        if isinstance(document, list) and all(isinstance(row, dict) for row in document):
            return document
        raise self.contract_error("The answer is not a list of rows.")

    def _error(self, response: httpx.Response) -> Exception:
        return error_from_response(
            response.status_code,
            response.headers,
            response.content,
            retry_after_s=self._retry_after_s,
        )

    def contract_error(self, what: str) -> UpstreamContractError:
        """Build the error for an answer that is not what was agreed."""
        return UpstreamContractError(
            f"{what} Is SUPABASE_URL the address of a Supabase project?",
            retry_after_s=self._retry_after_s,
        )
