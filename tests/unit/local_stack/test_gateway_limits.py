"""The gateway's limits, and that no request of any kind makes it fail."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from local_stack.gateway import Gateway, GatewayConfig, create_gateway
from local_stack.keys import ProjectKeys

KEYS = ProjectKeys.generate()


class Mirror:
    """Stands behind the gateway; reads the body and answers 200."""

    keys = KEYS

    async def is_ready(self) -> bool:
        return True

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


def gateway_of(**limits: int) -> Gateway:
    mirror = Mirror()
    return create_gateway(mirror, mirror, mirror, config=GatewayConfig(**limits))


async def call(gateway: Gateway, scope: dict[str, Any], chunks: list[bytes]) -> list[Message]:
    """Run one HTTP request at the ASGI level and return what was sent."""
    sent: list[Message] = []
    waiting = list(chunks)

    async def receive() -> dict[str, Any]:
        body = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(message: Message) -> None:
        sent.append(message)

    await gateway({"type": "http", "root_path": "", **scope}, receive, send)
    return sent


@pytest.mark.parametrize(
    ("limits", "url", "headers", "status"),
    [
        ({"max_url_bytes": 40}, "/rest/v1/t?a=" + "x" * 28, {}, 200),
        ({"max_url_bytes": 40}, "/rest/v1/t?a=" + "x" * 29, {}, 414),
        ({"max_url_bytes": 40}, "/rest/v1/" + "x" * 32, {}, 414),
        ({"max_url_bytes": 40}, "/" + "x" * 41, {}, 414),
        ({"max_header_bytes": 800}, "/rest/v1/t", {"x-long": "x" * 200}, 200),
        ({"max_header_bytes": 800}, "/rest/v1/t", {"x-long": "x" * 801}, 431),
        ({"max_header_bytes": 800}, "/rest/v1/t", {f"x-{n}": "x" * 50 for n in range(20)}, 431),
        ({"max_body_bytes": 10}, "/rest/v1/t", {"content-length": "9" * 40}, 413),
    ],
)
async def test_limits_are_exact_and_refusals_say_what_is_too_long(
    limits: dict[str, int], url: str, headers: dict[str, str], status: int
) -> None:
    """One byte under a limit passes, one over is refused with the limit in the message."""
    transport = httpx.ASGITransport(gateway_of(**limits))
    async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
        answer = await client.get(url, headers={"apikey": KEYS.publishable, **headers})
    assert answer.status_code == status
    if status != 200:
        assert str(next(iter(limits.values()))) in answer.json()["message"]
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


NAMES = st.sampled_from([
    b"apikey", b"authorization", b"origin", b"x-request-id", b"content-length",
    b"transfer-encoding", b"access-control-request-method", b"access-control-request-headers",
    b"upgrade", b"host", b"x",
])  # fmt: skip
VALUES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([
        KEYS.publishable.encode(), KEYS.secret.encode(), KEYS.anon.encode(), b"chunked",
        b"Bearer " + KEYS.publishable.encode(), b"Bearer sb_", b"-1", b"1e9", b"\xc3\xa9", b"",
        b"GET", b"99999999999999999999999999",
    ]),
)  # fmt: skip
PATHS = st.one_of(
    st.text(max_size=40).map(lambda text: "/" + text),
    st.builds(
        lambda prefix, rest: prefix + rest,
        st.sampled_from(["/rest/v1", "/auth/v1", "/realtime/v1", "/live", "/ready", ""]),
        st.text(max_size=30),
    ),
)
QUERIES = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda key, rest: b"apikey=" + key + b"&" + rest, VALUES, st.binary(max_size=20)),
)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])


@settings(max_examples=400, deadline=None)
@given(
    method=METHODS,
    path=PATHS,
    query=QUERIES,
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=8),
    chunks=st.lists(st.binary(max_size=40), max_size=4),
)
@example("GET", "/rest/v1", b"apikey=%", [], [])
@example("OPTIONS", "/", b"", [(b"origin", b""), (b"access-control-request-method", b"")], [])
def test_no_request_makes_the_gateway_fail(
    method: str,
    path: str,
    query: bytes,
    headers: list[tuple[bytes, bytes]],
    chunks: list[bytes],
) -> None:
    """Every request gets exactly one complete answer below 500, with a usable request id."""
    scope = {
        "method": method, "path": path, "raw_path": path.encode(errors="replace"),
        "query_string": query, "headers": headers,
    }  # fmt: skip
    sent = asyncio.run(call(gateway_of(max_body_bytes=60), scope, chunks))
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert len(starts) == 1
    assert starts[0]["status"] < 500
    answered = dict(starts[0]["headers"])
    assert answered[b"x-request-id"].decode("ascii").isprintable()
    body = b"".join(message.get("body", b"") for message in sent)
    if starts[0]["status"] >= 400:
        assert json.loads(body)["message"]
        assert len(body) == int(answered[b"content-length"])
    assert sent[-1]["type"] == "http.response.body"


@settings(max_examples=200, deadline=None)
@given(query=QUERIES, headers=st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_without_a_key_of_the_project_nothing_gets_through(
    query: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    """Only the four keys of the project open REST, wherever else they may be named."""
    opened = {KEYS.publishable, KEYS.secret, KEYS.anon, KEYS.service_role}
    given_keys = [value.decode("latin-1") for name, value in headers if name == b"apikey"]
    in_query = [part[7:].decode("latin-1") for part in query.split(b"&") if part[:7] == b"apikey="]
    preflight = {name for name, _ in headers} >= {b"origin", b"access-control-request-method"}
    key = given_keys[-1] if given_keys else (in_query[0] if in_query else "")
    if key in opened or preflight:
        return
    scope = {
        "method": "GET", "path": "/rest/v1/t", "raw_path": b"/rest/v1/t",
        "query_string": query, "headers": headers,
    }  # fmt: skip
    sent = asyncio.run(call(gateway_of(), scope, []))
    assert sent[0]["status"] in {401, 413}
