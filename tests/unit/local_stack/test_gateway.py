"""The gateway: keys, headers, CORS, limits and its own paths."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from local_stack.gateway import Gateway, GatewayConfig, create_gateway
from local_stack.keys import ProjectKeys

KEYS = ProjectKeys.generate()
USER_TOKEN = "Bearer the.users.token"


class Upstream:
    """Shows what reaches a server behind the gateway."""

    keys = KEYS

    def __init__(self) -> None:
        self.ready = True
        self.app = Starlette(
            routes=[
                Route("/fail", self._fail),
                Route("/{rest:path}", self._answer, methods=["GET", "POST", "OPTIONS"]),
                WebSocketRoute("/websocket", self._socket),
            ]
        )

    async def is_ready(self) -> bool:
        return self.ready

    async def _fail(self, request: Request) -> JSONResponse:
        raise RuntimeError("a bug")

    async def _answer(self, request: Request) -> JSONResponse:
        body = await request.body()
        return JSONResponse(_seen(request, request.path_params["rest"]) | {"bytes": len(body)})

    async def _socket(self, socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json(_seen(socket, "websocket"))
        await socket.close()


def _seen(connection: Any, path: str) -> dict[str, Any]:
    headers = connection.headers
    return {"path": path, "query": connection.url.query, "headers": dict(headers)}


def gateway_of(upstream: Upstream, **limits: int) -> Gateway:
    return create_gateway(upstream, upstream, upstream, config=GatewayConfig(**limits))


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """A client that talks to the gateway without a network."""
    transport = httpx.ASGITransport(gateway_of(Upstream(), max_body_bytes=1_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://stack") as client:
        yield client


@pytest.mark.parametrize("path", ["/rest/v1/jobs", "/auth/v1/token", "/rest/v1", "/auth/v1/health"])
async def test_rest_and_auth_need_a_key(http: httpx.AsyncClient, path: str) -> None:
    """Without a key, and with a wrong one, the gateway answers as Supabase's does."""
    missing = await http.get(path)
    assert missing.status_code == 401
    assert missing.json()["message"] == "No API key found in request"
    assert missing.json()["hint"] == "No `apikey` request header or url param was found."
    for wrong in ("sb_publishable_wrong", "x", KEYS.anon[:-1], "\u00e9"):
        refused = await http.get(path, headers={"apikey": wrong.encode()})
        assert refused.status_code == 401
        assert refused.json()["message"] == "Invalid API key"


@pytest.mark.parametrize(
    ("key", "token"),
    [(KEYS.publishable, KEYS.anon), (KEYS.secret, KEYS.service_role)],
    ids=["publishable", "secret"],
)
async def test_sb_keys_become_the_token_of_their_role(
    http: httpx.AsyncClient, key: str, token: str
) -> None:
    """Alone or repeated in Authorization an sb_ key acts as its role; a user's token stays."""
    for given in ({}, {"authorization": f"Bearer {key}"}):
        seen = (await http.get("/rest/v1/jobs", headers={"apikey": key, **given})).json()
        assert seen["headers"]["authorization"] == f"Bearer {token}"
    headers = {"apikey": key, "authorization": USER_TOKEN}
    seen = (await http.get("/rest/v1/jobs", headers=headers)).json()
    assert seen["headers"]["authorization"] == USER_TOKEN


async def test_legacy_keys_pass_unchanged(http: httpx.AsyncClient) -> None:
    """A legacy key admits the request and changes nothing in it."""
    seen = (await http.get("/rest/v1/jobs", headers={"apikey": KEYS.anon})).json()
    assert "authorization" not in seen["headers"]
    assert seen["path"] == "jobs"


async def test_a_key_in_the_query_is_taken_out(http: httpx.AsyncClient) -> None:
    """REST would read a left-over apikey parameter as a filter."""
    url = f"/rest/v1/jobs?select=id&apikey={KEYS.publishable}&limit=1"
    seen = (await http.get(url)).json()
    assert seen["query"] == "select=id&limit=1"
    assert seen["headers"]["authorization"] == f"Bearer {KEYS.anon}"


async def test_the_published_keys_are_open(http: httpx.AsyncClient) -> None:
    """Nobody needs a key to verify tokens."""
    assert (await http.get("/auth/v1/.well-known/jwks.json")).status_code == 200


async def test_realtime_over_http_maps_keys_and_hides_administration(
    http: httpx.AsyncClient,
) -> None:
    """The Realtime server checks its own callers; its administration stays closed."""
    headers = {"apikey": KEYS.secret}
    seen = (await http.post("/realtime/v1/api/broadcast", headers=headers)).json()
    assert seen["headers"]["authorization"] == f"Bearer {KEYS.service_role}"
    assert (await http.get("/realtime/v1/api/tenants/x", headers=headers)).status_code == 403


async def connect(gateway: Gateway, path: str, query: str) -> list[dict[str, Any]]:
    """Open a WebSocket at the ASGI level and return what the server sent."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", b"stack"), (b"x-api-key", b"sent by the client")],
    }
    await gateway(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("key", "token", "header"),
    [
        (KEYS.publishable, KEYS.anon, KEYS.anon),
        (KEYS.secret, KEYS.service_role, KEYS.service_role),
        (KEYS.anon, KEYS.anon, "sent by the client"),
        ("sb_secret_wrong", "sb_secret_wrong", "sent by the client"),
    ],
    ids=["publishable", "secret", "legacy", "unknown"],
)
async def test_an_sb_key_of_a_socket_becomes_a_token(key: str, token: str, header: str) -> None:
    """The Realtime server sees a JWT where the client sent an sb_ key; the rest is unchanged."""
    query = f"apikey={key}&vsn=1.0.0"
    accepted, text, _ = await connect(gateway_of(Upstream()), "/realtime/v1/websocket", query)
    assert accepted["type"] == "websocket.accept"
    seen = json.loads(text["text"])
    assert seen["headers"]["x-api-key"] == header
    assert set(seen["query"].split("&")) == {f"apikey={token}", "vsn=1.0.0"}


async def test_sockets_elsewhere_are_refused() -> None:
    """Only Realtime has WebSockets; others are closed before they are accepted."""
    for path in ("/rest/v1/websocket", "/websocket"):
        sent = await connect(gateway_of(Upstream()), path, "")
        assert [message["type"] for message in sent] == ["websocket.close"]


async def test_request_ids_are_kept_or_made(http: httpx.AsyncClient) -> None:
    """The id reaches the server and comes back; a useless one is replaced."""
    headers = {"apikey": KEYS.anon, "x-request-id": "abc-123"}
    kept = await http.get("/rest/v1/jobs", headers=headers)
    assert kept.headers["x-request-id"] == "abc-123"
    assert kept.json()["headers"]["x-request-id"] == "abc-123"
    made = [
        await http.get("/rest/v1/jobs", headers={"apikey": KEYS.anon, **given})
        for given in ({}, {"x-request-id": "a b"}, {"x-request-id": "x" * 200})
    ]
    ids = [answer.headers["x-request-id"] for answer in made]
    assert len(set(ids)) == 3
    assert [answer.json()["headers"]["x-request-id"] for answer in made] == ids


async def test_browsers_are_let_in(http: httpx.AsyncClient) -> None:
    """Preflights need no key, and every answer to a foreign origin may be read."""
    preflight = await http.options(
        "/rest/v1/jobs",
        headers={
            "origin": "http://app",
            "access-control-request-method": "PATCH",
            "access-control-request-headers": "apikey, prefer",
        },
    )
    assert preflight.status_code == 200
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["access-control-allow-headers"] == "apikey, prefer"
    for key in ({"apikey": KEYS.anon}, {}):
        answer = await http.get("/rest/v1/jobs", headers={"origin": "http://app", **key})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "Content-Range" in answer.headers["access-control-expose-headers"]
    same_origin = await http.get("/rest/v1/jobs", headers={"apikey": KEYS.anon})
    assert "access-control-allow-origin" not in same_origin.headers


async def test_long_bodies_are_refused_with_and_without_a_length(http: httpx.AsyncClient) -> None:
    """1,000 bytes pass, one more does not, however it is sent."""

    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x"

    headers = {"apikey": KEYS.anon}
    for size, status in ((1_000, 200), (1_001, 413)):
        declared = await http.post("/rest/v1/jobs", content=b"x" * size, headers=headers)
        streamed = await http.post("/rest/v1/jobs", content=chunks(size), headers=headers)
        assert (declared.status_code, streamed.status_code) == (status, status)


async def test_a_bug_behind_the_gateway_gets_an_answer(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception becomes a 500 in JSON with the request's id, and is logged."""
    headers = {"apikey": KEYS.anon, "x-request-id": "find-me"}
    transport = httpx.ASGITransport(_Raising(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://stack") as client:
        answer = await client.get("/rest/v1/jobs", headers=headers)
    assert answer.status_code == 500
    assert answer.json()["request_id"] == "find-me"
    assert "a bug" in caplog.text


class _Raising:
    """A gateway whose REST server raises before it answers."""

    def __init__(self) -> None:
        upstream = Upstream()
        upstream.app = self._raise  # type: ignore[assignment]
        self._gateway = gateway_of(upstream)

    async def _raise(self, scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("a bug")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._gateway(scope, receive, send)


async def test_health_paths_tell_process_and_database_apart() -> None:
    """/live answers whatever the database does; /ready follows it."""
    upstream = Upstream()
    transport = httpx.ASGITransport(gateway_of(upstream))
    async with httpx.AsyncClient(transport=transport, base_url="http://stack") as client:
        assert (await client.get("/ready")).status_code == 200
        upstream.ready = False
        assert (await client.get("/ready")).status_code == 503
        assert (await client.get("/live")).json() == {"status": "live"}


@pytest.mark.parametrize("path", ["/", "/rest/v2/jobs", "/rest/v1x", "/storage/v1/object"])
async def test_unknown_paths_say_what_there_is(http: httpx.AsyncClient, path: str) -> None:
    """Nothing else is served, and the answer names what is."""
    answer = await http.get(path)
    assert answer.status_code == 404
    assert "/rest/v1" in answer.json()["hint"]
