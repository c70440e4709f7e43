"""Every HTTP outcome becomes one typed error that says what to do; the sockets are real."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portal_sdk._runtime import http_pool
from portal_sdk._runtime.http import HttpAnswer, HttpApi, error_of_answer
from portal_sdk._runtime.http_pool import PooledHttp
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
    ServerUnavailableError,
    TokenRejectedError,
)
from portal_sdk.testing.rest import json_answer

URL = "http://project.example"
HTML = b"<html>secret page</html>"


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
    error = error_of_answer(json_answer(status, body), URL)
    assert type(error) is kind
    assert error.retryable is retryable


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, ProtocolError), (429, RateLimitedError), (502, ServerUnavailableError)],
)
def test_an_html_error_has_its_class(status: int, kind: type[PortalError]) -> None:
    error = error_of_answer(HttpAnswer(status, {"content-type": "text/html"}, HTML), URL)
    assert type(error) is kind
    assert "secret page" not in str(error)


def test_a_rate_limit_keeps_the_wait_the_server_asked_for() -> None:
    error = error_of_answer(HttpAnswer(429, {"retry-after": "7"}, b"{}"), URL)
    assert isinstance(error, RateLimitedError)
    assert error.retry_after_s == 7.0
    for_ever = error_of_answer(HttpAnswer(429, {"retry-after": "9" * 400}, b"{}"), URL)
    assert isinstance(for_ever, RateLimitedError)
    assert for_ever.retry_after_s == 3600.0


@asynccontextmanager
async def served(*answers: bytes) -> AsyncIterator[tuple[HttpApi, list[bytes]]]:
    """Answer one request after the other with these bytes, then close."""
    heard: list[bytes] = []
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    api = HttpApi(PooledHttp(url, "k", timeout_s=10), url)
    try:
        yield api, heard
    finally:
        await api.close()
        server.close()
        await server.wait_closed()


def http(status: str, body: bytes, *headers: bytes) -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join((b"HTTP/1.1 " + status.encode(), length, *headers, b"", body))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", ConnectionLostError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", ConnectionLostError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", ConnectionLostError),
        (http("200 OK", HTML, b"Content-Type: text/html"), ProtocolError),
        (http("200 OK", b'{"half": '), ProtocolError),
        (http("302 Found", b"", b"Location: http://elsewhere.example/"), ProtocolError),
    ],
    ids=["closed", "not-http", "cut", "html", "broken-json", "redirect"],
)
async def test_no_foreign_error_crosses_the_edge(answer: bytes, kind: type[PortalError]) -> None:
    async with served(answer) as (api, _heard):
        with pytest.raises(kind) as caught:
            await api.request("POST", "/rest/v1/rpc/portal_head", json={})
        assert type(caught.value) is kind
        assert "secret page" not in str(caught.value)


async def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    api = HttpApi(PooledHttp("http://127.0.0.1:1", "k", timeout_s=5), "http://127.0.0.1:1")
    with pytest.raises(ConnectError, match="is it running"):
        await api.request("GET", "/rest/v1/jobs")
    await api.close()


async def test_the_token_goes_into_the_header_and_nowhere_else() -> None:
    async with served(http("204 No Content", b"")) as (api, heard):
        params = {"id": "eq.a&b", "select": "id"}
        assert (
            await api.request("PATCH", "/rest/v1/jobs", json={}, params=params, token="t") is None
        )
    head = heard[0].decode()
    assert head.startswith("PATCH /rest/v1/jobs?id=eq.a%26b&select=id HTTP/1.1\r\n")
    assert "Authorization: Bearer t\r\n" in head
    assert "apikey: k\r\n" in head
    assert "User-Agent: portal-sdk-py\r\n" in head


async def test_a_cookie_of_one_portal_is_not_sent_by_another() -> None:
    """The portals of a loop share connections; nothing of a session may be shared with them."""
    cookie = http("200 OK", b"[]", b"Set-Cookie: session=jo; Path=/", b"Connection: close")
    async with served(cookie, http("200 OK", b"[]")) as (api, heard):
        other = HttpApi(PooledHttp(api._base_url, "k", timeout_s=10), api._base_url)
        await api.request("GET", "/rest/v1/jobs", token="jo")
        await other.request("GET", "/rest/v1/jobs")
        await other.close()
    assert b"cookie" not in heard[1].lower()
    assert b"jo" not in heard[1].lower().replace(b"jobs", b"")


async def test_closing_one_portal_leaves_the_connections_of_another() -> None:
    async with served(http("200 OK", b"[1]"), http("200 OK", b"[2]")) as (api, _heard):
        other = HttpApi(PooledHttp(api._base_url, "k", timeout_s=10), api._base_url)
        assert await other.request("GET", "/") == [1]
        await other.close()
        assert await api.request("GET", "/") == [2]


async def test_answers_of_every_size_give_their_connection_back_and_a_cut_one_does_not() -> None:
    """A small answer is taken out of the buffer at once, a large one piece by piece."""
    large = b'"' + b"x" * 300_000 + b'"'
    answers = {
        "/small": http("200 OK", b"[1]"),
        "/large": http("200 OK", large),
        "/empty": http("200 OK", b""),
        "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\n[\r\n1\r\n]\r\n0\r\n\r\n",
        "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    }
    opened: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            path = b""
            while path != b"/cut":
                path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
                writer.write(answers[path.decode()])
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    api = HttpApi(PooledHttp(url, "k", timeout_s=10), url)
    for path in ("/small", "/large", "/chunks", "/empty", "/small"):
        answer = await api.fetch("GET", path)
        assert answer.headers.get("content-length", "0").isdecimal()
        assert bytes(answer.content) in {b"[1]", large, b"[]", b""}
    assert len(opened) == 1
    with pytest.raises(ConnectionLostError):
        await api.request("GET", "/cut")
    assert await api.request("GET", "/small") == [1]
    assert len(opened) == 2
    await api.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(("patience_s", "connections"), [(60.0, 2), (0.0, 3)], ids=["no", "yes"])
async def test_a_request_given_up_at_once_costs_the_others_no_connection(
    monkeypatch: pytest.MonkeyPatch, patience_s: float, connections: int
) -> None:
    """A portal is closed in the middle of a request; waiting in vain is another matter."""
    monkeypatch.setattr(http_pool, "PATIENCE_S", patience_s)
    answer = http("200 OK", b"[]")
    is_asked, opened = asyncio.Event(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while b"/silent" not in await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)
            is_asked.set()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    one, other = (HttpApi(PooledHttp(url, "k", timeout_s=10), url) for _ in range(2))
    await asyncio.gather(one.request("GET", "/"), other.request("GET", "/"))
    asking = asyncio.create_task(one.request("GET", "/silent"))
    await is_asked.wait()
    asking.cancel()
    await asyncio.wait([asking])
    await other.request("GET", "/")
    assert opened == connections
    await one.close()
    await other.close()
    server.close()
    await server.wait_closed()
