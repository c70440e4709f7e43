"""Every HTTP outcome becomes one typed error that says what to do."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from portal_sdk._runtime.http import HttpApi, error_of_response
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
    ServerUnavailableError,
    TokenRejectedError,
)

URL = "http://project.example"


@pytest.mark.parametrize(
    ("status", "body", "kind", "retryable"),
    [
        (400, {"code": "23514", "message": "m"}, InvalidRequestError, False),
        (401, {"code": "PGRST301", "message": "JWT expired"}, TokenRejectedError, False),
        (401, {"message": "Invalid API key"}, ApiKeyRejectedError, False),
        (403, {"code": "42501", "message": "denied"}, PermissionDeniedError, False),
        (404, {"code": "PGRST202", "message": "m"}, NotFoundError, False),
        (409, {"code": "23505", "message": "m"}, ConflictError, False),
        (429, {"message": "slow down"}, RateLimitedError, True),
        (500, {"code": "XX000", "message": "m"}, ServerUnavailableError, True),
        (503, {"message": "m"}, ServerUnavailableError, True),
    ],
)
def test_a_json_error_has_its_class(
    status: int, body: dict[str, Any], kind: type[PortalError], retryable: bool
) -> None:
    error = error_of_response(httpx.Response(status, json=body), URL)
    assert type(error) is kind
    assert error.retryable is retryable


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, ProtocolError), (429, RateLimitedError), (502, ServerUnavailableError)],
)
def test_an_html_error_has_its_class(status: int, kind: type[PortalError]) -> None:
    response = httpx.Response(status, html="<html>secret page</html>")
    error = error_of_response(response, URL)
    assert type(error) is kind
    assert "secret page" not in str(error)


def test_a_rate_limit_keeps_the_wait_the_server_asked_for() -> None:
    response = httpx.Response(429, json={}, headers={"retry-after": "7"})
    error = error_of_response(response, URL)
    assert isinstance(error, RateLimitedError)
    assert error.retry_after_s == 7.0


def api(handler: Any) -> HttpApi:
    client = httpx.AsyncClient(base_url=URL, transport=httpx.MockTransport(handler))
    return HttpApi(client, URL)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ConnectError("x"), ConnectError),
        (httpx.ConnectTimeout("x"), ConnectError),
        (httpx.ReadTimeout("x"), RequestTimeoutError),
        (httpx.RemoteProtocolError("x"), ConnectionLostError),
        (httpx.ReadError("x"), ConnectionLostError),
    ],
)
async def test_no_httpx_error_crosses_the_edge(failure: Exception, kind: type[PortalError]) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise failure

    made = api(fail)
    with pytest.raises(kind):
        await made.request("GET", "/rest/v1/jobs")
    await made.close()


async def test_html_with_200_is_not_a_supabase_project() -> None:
    made = api(lambda _request: httpx.Response(200, html="<html></html>"))
    with pytest.raises(ProtocolError, match="check the project URL"):
        await made.request("GET", "/rest/v1/jobs")
    await made.close()


async def test_the_token_goes_into_the_header_and_nowhere_else() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204)

    made = api(answer)
    assert await made.request("POST", "/rest/v1/rpc/f", json={"a": 1}, token="t") is None
    assert seen[0].headers["authorization"] == "Bearer t"
    assert "t=" not in str(seen[0].url)
    await made.close()
