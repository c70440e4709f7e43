"""Slow and hostile clients on real sockets: they are refused, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from local_stack.gateway import create_gateway
from local_stack.http_guard import GuardedHttpProtocol
from local_stack.keys import ProjectKeys
from tests.support.stack_thread import StackThread
from tests.support.waiting import eventually
from tests.unit.local_stack.test_gateway_limits import Mirror

READ_TIMEOUT_S = 10


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """A client that keeps its connections."""
    with httpx.Client() as client:
        yield client


def exchange(url: str, raw: bytes) -> bytes:
    """Send raw bytes, end the sending side, and return the start of what comes back."""
    address = httpx.URL(url)
    assert address.port is not None
    with socket.create_connection((address.host, address.port), READ_TIMEOUT_S) as peer:
        with contextlib.suppress(OSError):
            peer.sendall(raw)
        with contextlib.suppress(OSError):
            return peer.recv(4_096)
    return b""


def status_of(answer: bytes) -> int | None:
    """Return the HTTP status of an answer, None when the connection was just closed."""
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else None


LINE_BYTES = st.binary(max_size=60).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))
PREFIXES = st.sampled_from([b"/rest/v1/", b"/auth/v1/", b"/realtime/v1/", b"/", b"", b"*", b"//"])
AUTH_PATHS = st.sampled_from([
    "/auth/v1/token?grant_type=password", "/auth/v1/token?grant_type=refresh_token",
    "/auth/v1/signup", "/auth/v1/user", "/auth/v1/logout?scope=", "/auth/v1/admin/users?page=",
    "/auth/v1/admin/users?filter=", "/auth/v1/admin/users/", "/auth/v1/verify", "/auth/v1/",
])  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    method=st.sampled_from(
        [b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"HEAD", b"OPTIONS", b"X"]
    ),
    target=st.builds(lambda prefix, rest: prefix + rest, PREFIXES, LINE_BYTES),
    header=st.tuples(LINE_BYTES, LINE_BYTES),
    body=st.binary(max_size=60),
    keyed=st.booleans(),
)
@example(b"GET", b"/rest/v1/\xff", (b"x", b"y"), b"", True)
@example(b"GET", b"/rest/v1/%00?%00=eq.%00", (b"x", b"y"), b"", True)
@example(b"GET", b"/auth/v1/%ff%fe", (b"authorization", b"Bearer \xff"), b"", True)
@example(b"POST", b"/rest/v1/jobs", (b"content-type", b"\xff"), b"\xff", True)
def test_no_bytes_on_a_socket_are_a_server_error(
    stack: StackThread, method: bytes, target: bytes, header: tuple[bytes, bytes], body: bytes,
    keyed: bool,
) -> None:  # fmt: skip
    """Whatever is sent is answered below 500 or cut off, and the stack serves the next request."""
    key = b"apikey: " + stack.keys.publishable.encode() + b"\r\n" if keyed else b""
    name, value = header
    raw = (
        method + b" " + target + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + key
        + name + b": " + value + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )  # fmt: skip
    status = status_of(exchange(stack.api_url, raw))
    assert status is None or status < 500
    assert status_of(exchange(stack.api_url, b"GET /live HTTP/1.0\r\n\r\n")) == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = st.sampled_from([
    "email", "phone", "password", "data", "refresh_token", "id", "role", "aud", "ban_duration",
    "user_metadata", "app_metadata", "email_confirm", "password_hash", "should_soft_delete",
])  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=AUTH_PATHS,
    rest=st.text(max_size=12),
    body=st.dictionaries(FIELDS, JSON, max_size=4) | JSON,
    key=st.sampled_from(["publishable", "secret"]),
)
@example(
    "PUT", "/auth/v1/admin/users/", "a0000000-0000-4000-8000-00000000dead", {"id": 1}, "secret"
)
@example("POST", "/auth/v1/signup", "", {"email": "a@b", "password": "\ud800" * 8}, "publishable")
def test_no_auth_request_is_a_server_error(
    stack: StackThread,
    http: httpx.Client,
    method: str,
    path: str,
    rest: str,
    body: object,
    key: str,
) -> None:
    """Odd values in every field of the auth API are refused, not failed on; no user appears."""
    answer = http.request(
        method,
        f"{stack.api_url}{path}{quote(rest, errors='replace')}",
        content=json.dumps(_creates_nobody(body)),
        headers={"apikey": getattr(stack.keys, key)},
    )
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        said = answer.json()
        assert said.get("msg") or said.get("message") or said.get("error_description")


def _creates_nobody(body: object) -> object:
    """Keep generated users out of the shared stack: no address or number that could be real."""
    if not isinstance(body, dict):
        return body
    unreal = {"email": "@", "phone": "0"}
    return {
        name: f"{unreal[name]}{item}" if name in unreal and isinstance(item, str) else item
        for name, item in body.items()
    }


class HastyProtocol(GuardedHttpProtocol):
    """The limits of the stack's listener, with little patience."""

    max_head_bytes = 4_000
    head_timeout_s = 0.4
    body_idle_timeout_s = 0.4


@dataclass
class Guarded:
    """A gateway behind the guarded protocol.

    Attributes:
        connections: What uvicorn holds open.
    """

    port: int
    server: uvicorn.Server
    keys: ProjectKeys

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)


@pytest.fixture
async def guarded() -> AsyncIterator[Guarded]:
    mirror = Mirror()
    app = create_gateway(mirror, mirror, mirror)
    config = uvicorn.Config(app, port=0, http=HastyProtocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(), name="guarded")
    await eventually(lambda: server.started)
    try:
        yield Guarded(server.servers[0].sockets[0].getsockname()[1], server, mirror.keys)
    finally:
        server.should_exit = True
        await serving


async def talk(port: int, *parts: bytes) -> bytes:
    """Send parts and return everything until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            with contextlib.suppress(OSError):
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(reader.read(), READ_TIMEOUT_S)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return b""


HEAD = b"POST /rest/v1/t HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 408),
        (b"\r\n", 408),
        (b"POS", 408),
        (HEAD, 408),
        (HEAD + b"content-length: 10\r\n\r\nhalf", None),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nab", None),
    ],
)
async def test_unfinished_requests_end_by_themselves(
    guarded: Guarded, sent: bytes, status: int | None
) -> None:
    """A peer that stops in the middle is told so, or cut off, and holds nothing any more."""
    answer = await talk(guarded.port, sent)
    if status is not None:
        assert status_of(answer) == status
        assert b"did not come in time" in answer
    await eventually(lambda: guarded.connections == 0)


async def test_an_endless_head_is_refused(guarded: Guarded) -> None:
    """A head over the limit gets 431 although it never ends."""
    answer = await talk(guarded.port, HEAD, b"x: " + b"y" * 5_000)
    assert status_of(answer) == 431
    assert b"4000 bytes" in answer


async def test_complete_requests_are_untouched(guarded: Guarded) -> None:
    """Kept-alive and pipelined requests, and a slow but steady body, are answered as always."""
    headers = {"apikey": guarded.keys.anon}

    async def steady() -> AsyncIterator[bytes]:
        for _ in range(8):
            await asyncio.sleep(HastyProtocol.body_idle_timeout_s / 4)  # slower than one deadline
            yield b"x"

    async with httpx.AsyncClient() as http:
        for _ in range(3):
            assert (await http.get(f"{guarded.url}/rest/v1/t", headers=headers)).status_code == 200
        body = await http.post(f"{guarded.url}/rest/v1/t", headers=headers, content=steady())
        assert body.status_code == 200
    one = b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n"
    last = b"GET /live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answers = await talk(guarded.port, one + one + last)
    assert answers.count(b"HTTP/1.1 200") == 3


@contextlib.contextmanager
def half_open_requests(url: str, count: int, sent: bytes) -> Iterator[None]:
    """Hold many connections that sent a part of a request."""
    address = httpx.URL(url)
    assert address.port is not None
    with contextlib.ExitStack() as held:
        for _ in range(count):
            peer = socket.create_connection((address.host, address.port), READ_TIMEOUT_S)
            held.enter_context(contextlib.closing(peer))
            peer.sendall(sent)
        yield


@pytest.mark.parametrize(
    "part",
    [
        b"GET /rest/v1/jobs HTTP/1.1\r\nhost: x\r\nx-slow: ",
        b"POST /auth/v1/token?grant_type=password HTTP/1.1\r\nhost: x\r\napikey: KEY\r\n"
        b"content-length: 100\r\n\r\n{",
        b"POST /rest/v1/rpc/portal_head HTTP/1.1\r\nhost: x\r\napikey: KEY\r\n"
        b"content-length: 100\r\n\r\n{",
    ],
)
def test_three_hundred_half_open_requests_stop_nobody(stack: StackThread, part: bytes) -> None:
    """Slow heads and slow bodies hold no database connection: sign-in, reads and health go on."""
    part = part.replace(b"KEY", stack.keys.secret.encode())
    headers = {"apikey": stack.keys.secret}
    with half_open_requests(stack.api_url, 300, part):
        health = httpx.get(f"{stack.api_url}/ready", timeout=5)
        rows = httpx.get(f"{stack.api_url}/rest/v1/jobs?limit=1", headers=headers, timeout=5)
        signed_in = httpx.post(
            f"{stack.api_url}/auth/v1/token?grant_type=password", headers=headers, timeout=5,
            json={"email": "customer003@example.com", "password": "portal-demo"},
        )  # fmt: skip
    assert [health.status_code, rows.status_code, signed_in.status_code] == [200, 200, 200]
