"""One HTTP client per portal, and the mapping of every HTTP outcome to one typed error."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from portal_sdk.errors import (
    ApiKeyRejectedError,
    ConflictError,
    ConnectError,
    ConnectionLostError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PortalError,
    ProtocolError,
    RateLimitedError,
    RequestTimeoutError,
    RestError,
    ServerUnavailableError,
    TokenRejectedError,
    TransportError,
)

KEEPALIVE_S = 60.0
TOKEN_CODES = frozenset({"PGRST300", "PGRST301", "PGRST303", "bad_jwt"})


@functools.cache
def _tls_context() -> ssl.SSLContext:
    """Load the certificate store once per process; it costs milliseconds and memory."""
    return httpx.create_ssl_context()


def create_http_client(base_url: str, api_key: str, *, timeout_s: float) -> httpx.AsyncClient:
    """Return the client that auth and database requests of one portal share."""
    is_tls = base_url.startswith("https://")
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"apikey": api_key, "X-Client-Info": "portal-sdk-py"},
        timeout=httpx.Timeout(timeout_s),
        limits=httpx.Limits(max_keepalive_connections=4, keepalive_expiry=KEEPALIVE_S),
        verify=_tls_context() if is_tls else False,
    )


class HttpApi:
    """Sends JSON requests to one project; every failure becomes a PortalError."""

    def __init__(self, client: httpx.AsyncClient, base_url: str) -> None:
        self._client = client
        self._base_url = base_url

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request and return the decoded JSON answer.

        Raises:
            PortalError: Any failure, by the tree in ``portal_sdk.errors``.

        Cancellation:
            Safe for reads; the effect of a write is then unknown.
        """
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        try:
            response = await self._client.request(
                method, path, json=json, params=params, headers=sent
            )
        except httpx.HTTPError as error:
            raise self._network_error(error) from error
        except (httpx.InvalidURL, ValueError) as error:
            raise ProtocolError(f"The request to {self._base_url} could not be built") from error
        if response.is_success:
            return self._decode(response)
        raise error_of_response(response, self._base_url)

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._client.aclose()

    def _decode(self, response: httpx.Response) -> Any:
        if response.status_code == httpx.codes.NO_CONTENT:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise _not_supabase(response, self._base_url) from error

    def _network_error(self, error: httpx.HTTPError) -> TransportError:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return ConnectError(
                f"No Supabase project answers at {self._base_url}: is it running (portalctl up, or"
                " supabase start) and is the URL right?",
                url=self._base_url,
            )
        if isinstance(error, httpx.TimeoutException):
            return RequestTimeoutError(f"{self._base_url} did not answer in time")
        return ConnectionLostError(f"The connection to {self._base_url} broke during a request")


def error_of_response(response: httpx.Response, base_url: str) -> PortalError:
    """Return the typed error of a response that is not a success."""
    body = _json_object(response)
    status = response.status_code
    if body is None:
        return _error_without_body(response, base_url)
    code = str(body.get("code") or body.get("error_code") or "")
    message = str(
        body.get("message") or body.get("msg") or body.get("error_description")
        or body.get("error") or f"HTTP {status}"
    )  # fmt: skip
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return RateLimitedError(message, status=status, retry_after_s=_retry_after_s(response))
    if _is_api_key_complaint(status, message):
        return ApiKeyRejectedError(
            f"{base_url} does not accept the API key ({message}): use the publishable (or anon)"
            " key of this project"
        )
    if status == httpx.codes.UNAUTHORIZED or code in TOKEN_CODES:
        return TokenRejectedError(
            f"The access token was not accepted ({message}): sign in again", code=code
        )
    return _rest_error_class(status, code)(
        message,
        status=status,
        code=code,
        details=str(body.get("details") or ""),
        hint=str(body.get("hint") or ""),
        request_id=response.headers.get("x-request-id", ""),
    )


def _rest_error_class(status: int, code: str) -> type[RestError]:
    if code == "42501" or status == httpx.codes.FORBIDDEN:
        return PermissionDeniedError
    if status == httpx.codes.NOT_FOUND:
        return NotFoundError
    if status == httpx.codes.CONFLICT:
        return ConflictError
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return ServerUnavailableError
    return InvalidRequestError


def _error_without_body(response: httpx.Response, base_url: str) -> PortalError:
    status = response.status_code
    if status == httpx.codes.TOO_MANY_REQUESTS:
        wait_s = _retry_after_s(response)
        return RateLimitedError("Too many requests", status=status, retry_after_s=wait_s)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return ServerUnavailableError(f"The server answered HTTP {status}", status=status)
    return _not_supabase(response, base_url)


def _not_supabase(response: httpx.Response, base_url: str) -> ProtocolError:
    kind = response.headers.get("content-type", "no content type").split(";")[0]
    return ProtocolError(
        f"{base_url} is not a Supabase project: it answered HTTP {response.status_code} with"
        f" {kind}; check the project URL",
        status=response.status_code,
    )


def _is_api_key_complaint(status: int, message: str) -> bool:
    lowered = message.lower()
    return status in {401, 403} and ("api key" in lowered or "apikey" in lowered)


def _json_object(response: httpx.Response) -> dict[str, Any] | None:
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _retry_after_s(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None
