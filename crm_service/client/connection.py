"""How the typed client talks: one request, one answer, errors of one tree."""

import asyncio
import copy
import inspect
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import date
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError

from crm_service.client.problems import problem_of_answer, problem_of_event
from crm_service.errors import CrmProblemError, CrmUnreachableError
from crm_service.fields import Body

TokenSource: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""An access token, or a function (plain or async) that returns the current one."""


class Event(NamedTuple):
    """One event of a stream; ``id`` is the newest position given so far."""

    name: str
    data: dict[str, Any]
    id: str | None


class Answered(NamedTuple):
    """How the service answered a call, besides the row.

    Attributes:
        method: HTTP method.
        path: Below ``/v1/``.
        status: HTTP status.
        request_id: Names the request in the service's log.
        merged: Fields that others had changed meanwhile, and that were kept.
        replayed: A copy of this request had taken effect before.
    """

    method: str
    path: str
    status: int
    request_id: str
    merged: tuple[str, ...]
    replayed: bool


_M = TypeVar("_M", bound=BaseModel)
_DEFAULT_TIMEOUT_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


class CrmConnection:
    """Talk to one ``crm_service`` as one member of staff.

    Every method raises ``CrmProblemError`` when the service refuses or fails, and
    ``CrmUnreachableError`` when there is no answer. Cancelling a write leaves open whether it took
    effect.

    Args:
        base_url: Address of the service.
        token_source: Asked before every request.
        http: Client to use instead of an own one; not closed here.
        timeout_s: Longest wait for an answer.
        attempts: How often a call is sent before it fails without an answer, or because the
            service cannot serve right now. Copies of a write carry one ``Idempotency-Key``: it
            takes effect once. Imports and streams are sent once.
        on_answer: Told of every good answer: what was merged, whether it was a replay.

    Raises:
        ValueError: ``attempts`` is below 1.
    """

    def __init__(
        self,
        base_url: str,
        token_source: TokenSource,
        *,
        http: httpx.AsyncClient | None = None,
        timeout_s: float = _DEFAULT_TIMEOUT_S,
        attempts: int = 1,
        on_answer: Callable[[Answered], None] | None = None,
    ) -> None:
        if attempts < 1:
            raise ValueError("attempts must be at least 1")
        self._base_url = base_url.rstrip("/")
        self._token_source = token_source
        self._owns_http = http is None
        self._http = http or httpx.AsyncClient(trust_env=False)
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._on_answer = on_answer
        self._key: str | None = None

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, unless the HTTP client was passed in."""
        if self._owns_http:
            await self._http.aclose()

    def keyed(self, key: str) -> Self:
        """Return this client for one write under a key of the caller's own.

        A script that may be started again after it broke off gives each of its writes a key that is
        the same the next time: what took effect is answered, and not done twice.

        Args:
            key: ``Idempotency-Key``, 1 to 200 printable ASCII characters without spaces.
        """
        keyed = copy.copy(self)
        keyed._key = key  # noqa: SLF001 - a copy of this very object
        keyed._owns_http = False  # noqa: SLF001
        return keyed

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request and return the answer of a 2xx status.

        Args:
            method: HTTP method.
            path: Below ``/v1/``.
            query: Parameters; those that are None are left out.
            body: Sent as JSON with the fields that were set.
            headers: Further headers; ``Idempotency-Key`` is made up if absent.

        Raises:
            CrmProblemError: Any other status.
            CrmUnreachableError: No answer.
        """
        sent = dict(headers or {})
        content = None
        if method != "GET":
            sent.setdefault("Idempotency-Key", self._key or str(uuid4()))
        if body is not None:
            sent["Content-Type"] = "application/json"
            content = body.model_dump_json(exclude_unset=True)
        params = {name: value for name, value in (query or {}).items() if value is not None}
        for attempt in range(1, self._attempts + 1):
            try:
                return await self._send(method, path, params, content, sent)
            except (CrmProblemError, CrmUnreachableError) as error:
                if attempt == self._attempts or not error.retryable:
                    raise
                await asyncio.sleep(_pause_s(error, attempt))
        raise AssertionError("the last attempt returns or raises")

    async def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        content: str | None,
        headers: Mapping[str, str],
    ) -> httpx.Response:
        try:
            response = await self._http.request(
                method,
                f"{self._base_url}/v1/{path}",
                params={name: _parameter(value) for name, value in params.items()},
                content=content,
                headers={"Authorization": f"Bearer {await self._token()}", **headers},
                timeout=self._timeout_s,
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if not response.is_success:
            raise problem_of_answer(response)
        if self._on_answer is not None:
            self._on_answer(_answered(method, path, response))
        return response

    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any],
        content: bytes | None = None,
        headers: Mapping[str, str],
        pause_s: float | None = None,
    ) -> AsyncIterator[Event]:
        """Send a request and yield the events of the answer.

        Args:
            method: HTTP method.
            path: Below ``/v1/``.
            query: Parameters; those that are None are left out.
            content: The body.
            headers: Further headers.
            pause_s: Longest wait for something to come; None for ever.

        Raises:
            CrmProblemError: Refused, at once or by an event ``problem``.
            CrmUnreachableError: No answer, or the connection broke.
        """
        sent = {
            "Authorization": f"Bearer {await self._token()}",
            "Accept": "text/event-stream",
            **headers,
        }
        params = {name: _parameter(value) for name, value in query.items() if value is not None}
        try:
            async with self._http.stream(
                method,
                f"{self._base_url}/v1/{path}",
                params=params,
                content=content,
                headers=sent,
                timeout=pause_s,
            ) as response:
                if not response.is_success:
                    await response.aread()
                    raise problem_of_answer(response)
                async for event in _events(response):
                    if event.name == "problem":
                        status = event.data.get("status", response.status_code)
                        raise problem_of_event(int(status), event.data)
                    yield event
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    async def _get(self, path: str, model: type[_M], query: Mapping[str, Any] | None = None) -> _M:
        return _parsed(await self.request("GET", path, query=query), model)

    async def _post(
        self, path: str, model: type[_M], body: Body | None, version: int | None = None
    ) -> _M:
        response = await self.request("POST", path, body=body, headers=_if_match(version))
        return _parsed(response, model)

    async def _patch(self, path: str, model: type[_M], body: Body, version: int) -> _M:
        response = await self.request("PATCH", path, body=body, headers=_if_match(version))
        return _parsed(response, model)

    async def _put(self, path: str, model: type[_M], body: Body, version: int | None = None) -> _M:
        response = await self.request("PUT", path, body=body, headers=_if_match(version))
        return _parsed(response, model)

    async def _delete(self, path: str, model: type[_M], version: int | None) -> _M:
        return _parsed(await self.request("DELETE", path, headers=_if_match(version)), model)

    def _unreachable(self, error: httpx.HTTPError) -> CrmUnreachableError:
        return CrmUnreachableError(
            f"No answer from {self._base_url} ({type(error).__name__}). Is crm_service running?"
        )

    async def _token(self) -> str:
        if isinstance(self._token_source, str):
            return self._token_source
        token = self._token_source()
        return await token if inspect.isawaitable(token) else token


async def _events(response: httpx.Response) -> AsyncIterator[Event]:
    name, event_id = "", None
    async for line in _lines(response):
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "id":
            event_id = value
        elif field == "data":
            yield Event(name, json.loads(value), event_id)


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    """Yield the lines of an event stream.

    Nothing but a line feed ends one: JSON holds the other signs that Unicode calls line ends.
    """
    pieces: list[str] = []
    async for text in response.aiter_text():
        end, *more = text.split("\n")
        pieces.append(end)
        for line in more:
            yield "".join(pieces).removesuffix("\r")
            pieces = [line]


def _if_match(version: int | None) -> dict[str, str]:
    return {} if version is None else {"If-Match": f'"{version}"'}


def _parameter(value: Any) -> str | list[str]:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    if isinstance(value, date):  # and every datetime
        return value.isoformat()
    return str(value)


def _pause_s(error: CrmProblemError | CrmUnreachableError, attempt: int) -> float:
    """Return how long to wait: as the service said, or longer each time and not all at once."""
    if isinstance(error, CrmProblemError) and error.retry_after_s is not None:
        return float(error.retry_after_s)
    longest = min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)
    return random.uniform(longest / 2, longest)  # noqa: S311 - nothing secret


def _answered(method: str, path: str, response: httpx.Response) -> Answered:
    merged = response.headers.get("X-Merged-Fields", "")
    return Answered(
        method,
        path,
        response.status_code,
        response.headers.get("X-Request-Id", ""),
        tuple(merged.split(", ")) if merged else (),
        response.headers.get("Idempotency-Replayed") == "true",
    )


def _parsed(response: httpx.Response, model: type[_M]) -> _M:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise CrmProblemError(
            response.status_code, {"detail": f"the answer is not a {model.__name__}"}
        ) from error
