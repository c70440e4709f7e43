"""Requests and answers in JSON, and the mapping of every HTTP outcome to one typed error."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping
from dataclasses import field
from http import HTTPStatus
from typing import Any, Protocol, TypedDict, Unpack
from urllib.parse import urlencode

from pydantic_core import from_json

from portal_sdk._core.frozen import frozen
from portal_sdk._core.json_value import as_object
from portal_sdk._runtime.server_clock import ServerClock
from portal_sdk.errors import (
    ApiKeyRejectedError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PortalError,
    ProtocolError,
    RateLimitedError,
    RestError,
    ServerUnavailableError,
    TokenRejectedError,
)

TOKEN_CODES = frozenset({"PGRST300", "PGRST301", "PGRST303", "bad_jwt"})
SUCCESSES = range(200, 300)
NO_CONTENT = int(HTTPStatus.NO_CONTENT)
RETRY_AFTER_CAP_S = 3600.0
"""Nobody is asked to wait longer: what a server says may be wrong."""
_encode = json_text.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


@frozen
class HttpRequest:
    """One request to the project; ``path`` begins with a slash and has no query."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    content: bytes = field(default=b"", repr=False)

    @property
    def target(self) -> str:
        """Path and query, encoded."""
        return f"{self.path}?{urlencode(self.params)}" if self.params else self.path


@frozen
class HttpAnswer:
    """One whole answer; ``headers`` are found by their names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    content: bytes | bytearray = field(default=b"", repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return self.status in SUCCESSES


class HttpTransport(Protocol):
    """Carries requests to one project."""

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Send a request and return the whole answer, whatever its status.

        Raises:
            TransportError: There was none.
        """
        ...

    async def close(self) -> None:
        """Let go of the connections; calling it twice is harmless."""
        ...


class RequestParts(TypedDict, total=False):
    """What a request may have beside method and path.

    ``json`` is the body, or ``content`` if it is JSON in bytes already; ``params`` the query,
    ``token`` the access token of the user.
    """

    json: Any
    content: bytes
    params: Mapping[str, str] | None
    token: str | None
    headers: Mapping[str, str] | None


class HttpApi:
    """Sends JSON requests to one project; every failure becomes a PortalError.

    Attributes:
        clock: What is known of the project's clock.
    """

    __slots__ = ("_base_url", "_transport", "clock")

    def __init__(
        self, transport: HttpTransport, base_url: str, clock: ServerClock | None = None
    ) -> None:
        self.clock = clock or ServerClock()
        self._transport = transport
        self._base_url = base_url

    async def request(self, method: str, path: str, **parts: Unpack[RequestParts]) -> Any:
        """Send one request and return the decoded JSON answer.

        Raises:
            InvalidRequestError: The values cannot be JSON; nothing was sent.
            PortalError: Any failure, by the tree in ``portal_sdk.errors``.

        Cancellation:
            Safe for reads; the effect of a write is then unknown.
        """
        answer = await self.fetch(method, path, **parts)
        if answer.status == NO_CONTENT:
            return None
        try:
            return from_json(answer.content)
        except ValueError as error:
            raise self.not_json(answer) from error

    async def fetch(self, method: str, path: str, **parts: Unpack[RequestParts]) -> HttpAnswer:
        """Send one request and return the successful answer as it came.

        Raises and cancellation: as for ``request``.
        """
        sent = dict(parts.get("headers") or {})
        content = parts.get("content", b"")
        if (json := parts.get("json")) is not None:
            content = _encode_json(json)
        if content:
            sent["Content-Type"] = "application/json"
        if token := parts.get("token"):
            sent["Authorization"] = f"Bearer {token}"
        params = parts.get("params") or {}
        answer = await self._transport.send(HttpRequest(method, path, params, sent, content))
        if answer.is_success:
            return answer
        raise error_of_answer(answer, self._base_url)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._transport.close()

    def not_json(self, answer: HttpAnswer) -> ProtocolError:
        """Return the error of an answer that is a success and not JSON."""
        return _not_supabase(answer, self._base_url)


def _encode_json(value: Any) -> bytes:
    try:
        return _encode(value).encode()
    except (TypeError, ValueError) as error:
        kind = type(error).__name__
        raise InvalidRequestError(
            f"The values cannot be sent as JSON ({kind})", status=HTTPStatus.BAD_REQUEST
        ) from None  # the error's text holds the values


def error_of_answer(answer: HttpAnswer, base_url: str) -> PortalError:
    """Return the typed error of an answer that is not a success."""
    body = _json_object(answer)
    status = answer.status
    if body is None:
        return _error_without_body(answer, base_url)
    code = str(body.get("code") or body.get("error_code") or "")
    message = str(
        body.get("message") or body.get("msg") or body.get("error_description")
        or body.get("error") or f"HTTP {status}"
    )  # fmt: skip
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimitedError(message, status=status, retry_after_s=_retry_after_s(answer))
    if _is_api_key_complaint(status, message):
        return ApiKeyRejectedError(
            f"{base_url} does not accept the API key ({message}): use the publishable (or anon)"
            " key of this project"
        )
    if status == HTTPStatus.UNAUTHORIZED or code in TOKEN_CODES:
        return TokenRejectedError(
            f"The access token was not accepted ({message}): sign in again", code=code
        )
    return _rest_error_class(status, code)(
        message,
        status=status,
        code=code,
        details=str(body.get("details") or ""),
        hint=str(body.get("hint") or ""),
        request_id=answer.headers.get("x-request-id", ""),
    )


def _rest_error_class(status: int, code: str) -> type[RestError]:
    if code == "42501" or status == HTTPStatus.FORBIDDEN:
        return PermissionDeniedError
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError
    if status == HTTPStatus.CONFLICT:
        return ConflictError
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerUnavailableError
    return InvalidRequestError


def _error_without_body(answer: HttpAnswer, base_url: str) -> PortalError:
    status = answer.status
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait_s = _retry_after_s(answer)
        return RateLimitedError("Too many requests", status=status, retry_after_s=wait_s)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerUnavailableError(f"The server answered HTTP {status}", status=status)
    return _not_supabase(answer, base_url)


def _not_supabase(answer: HttpAnswer, base_url: str) -> ProtocolError:
    kind = answer.headers.get("content-type", "no content type").split(";")[0]
    return ProtocolError(
        f"{base_url} is not a Supabase project: it answered HTTP {answer.status} with"
        f" {kind}; check the project URL",
        status=answer.status,
    )


def _is_api_key_complaint(status: int, message: str) -> bool:
    lowered = message.lower()
    return status in {401, 403} and ("api key" in lowered or "apikey" in lowered)


def _json_object(answer: HttpAnswer) -> dict[str, Any] | None:
    try:
        return as_object(from_json(answer.content))
    except ValueError:
        return None


def _retry_after_s(answer: HttpAnswer) -> float | None:
    value = answer.headers.get("retry-after", "")
    return min(float(value), RETRY_AFTER_CAP_S) if value.isdecimal() else None
