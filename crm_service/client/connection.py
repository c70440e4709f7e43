"""How the typed client talks: one request, one answer, errors of one tree."""

import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import date
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError

from crm_service.errors import TYPE_PREFIX, CrmProblemError, CrmUnreachableError
from crm_service.fields import Body

TokenSource: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""An access token, or a function (plain or async) that returns the current one."""


class Event(NamedTuple):
    """One event of a stream; ``id`` is the newest position given so far."""

    name: str
    data: dict[str, Any]
    id: str | None


_M = TypeVar("_M", bound=BaseModel)
_DEFAULT_TIMEOUT_S = 30.0


class CrmConnection:
    """Talk to one ``crm_service`` as one member of staff.

    Every method raises ``CrmProblemError`` when the service refuses or fails, and
    ``CrmUnreachableError`` when there is no answer. Creations carry an id and an idempotency key,
    so that repeating one with the same body object is safe if it names its ``id``. Cancelling a
    write leaves open whether it took effect.

    Args:
        base_url: Address of the service.
        token_source: Asked before every request.
        http: Client to use instead of an own one; not closed here.
        timeout_s: Longest wait for an answer.
    """

    def __init__(
        self,
        base_url: str,
        token_source: TokenSource,
        *,
        http: httpx.AsyncClient | None = None,
        timeout_s: float = _DEFAULT_TIMEOUT_S,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._token_source = token_source
        self._owns_http = http is None
        self._http = http or httpx.AsyncClient(trust_env=False)
        self._timeout_s = timeout_s

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
        sent = {"Authorization": f"Bearer {await self._token()}", **(headers or {})}
        content = None
        if method != "GET":
            sent.setdefault("Idempotency-Key", str(uuid4()))
        if body is not None:
            sent["Content-Type"] = "application/json"
            content = body.model_dump_json(exclude_unset=True)
        params = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            response = await self._http.request(
                method,
                f"{self._base_url}/v1/{path}",
                params={name: _parameter(value) for name, value in params.items()},
                content=content,
                headers=sent,
                timeout=self._timeout_s,
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if not response.is_success:
            raise CrmProblemError(response.status_code, _problem(response))
        return response

    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any],
        content: bytes | None = None,
        headers: Mapping[str, str],
    ) -> AsyncIterator[Event]:
        """Send a request and yield the events of the answer.

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
                timeout=None,
            ) as response:
                if not response.is_success:
                    await response.aread()
                    raise CrmProblemError(response.status_code, _problem(response))
                async for event in _events(response):
                    if event.name == "problem":
                        problem = {**event.data, "type": f"{TYPE_PREFIX}{event.data.get('code')}"}
                        raise CrmProblemError(response.status_code, problem)
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
    async for line in response.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "id":
            event_id = value
        elif field == "data":
            yield Event(name, json.loads(value), event_id)


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


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {"detail": "not a problem document"}


def _parsed(response: httpx.Response, model: type[_M]) -> _M:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise CrmProblemError(
            response.status_code, {"detail": f"the answer is not a {model.__name__}"}
        ) from error
