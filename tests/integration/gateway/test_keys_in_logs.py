"""No key or token is in any log, whatever a program that runs a stack has set up for its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
import websockets

from local_stack.gateway import create_gateway
from local_stack.listener import Listener, bind_port
from tests.support.stack_thread import StackThread
from tests.unit.local_stack.test_gateway_limits import KEYS, Mirror

TRACE = 5
"""Uvicorn's lowest level, at which it logs whole requests."""
SILENT = logging.getLogger("test.client")
SILENT.setLevel(logging.CRITICAL)


@pytest.fixture
def every_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The root's handler, on every logger that uvicorn has, also the ones that do not propagate."""
    access = logging.getLogger("uvicorn.access")
    for name in (None, "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "local_stack"):
        caplog.set_level(logging.DEBUG, name)
    access.addHandler(caplog.handler)
    yield caplog
    access.removeHandler(caplog.handler)


def pieces_of(secret: str) -> list[str]:
    """Cut a secret: a log that shortens lines may show a part of it."""
    return [secret[start : start + 12] for start in range(0, len(secret) - 11, 4)]


async def connect(url: str, token: str) -> int:
    """Open a socket, join a channel with a token, and return the status of the handshake."""
    try:
        async with websockets.connect(url, logger=SILENT) as socket:
            join = {"topic": "realtime:room", "event": "phx_join", "ref": "1"}
            await socket.send(json.dumps({**join, "payload": {"access_token": token}}))
            await socket.recv()
            return 101
    except websockets.InvalidStatus as error:
        return error.response.status_code


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
async def test_a_socket_leaves_no_key_and_no_token_in_any_log(
    stack: StackThread, every_log: pytest.LogCaptureFixture, level: int
) -> None:
    """In the query, as it was given and as the gateway turns it; in frames; refused or not."""
    every_log.set_level(level, "uvicorn.error")
    keys = stack.keys
    base = stack.api_url.replace("http", "ws")
    refused = f"{keys.anon}x"
    given = [keys.secret, keys.publishable, keys.service_role, keys.anon, refused]
    escaped = keys.secret.replace("_", "%5F")
    statuses = [
        await connect(f"{base}{path}?vsn=1.0.0&apikey={key}&log_level=info", keys.anon)
        for path in ("/realtime/v1/websocket", "/elsewhere")
        for key in [*map(quote, given), escaped]
    ]
    assert statuses == [101, 101, 101, 101, 401, 101, *[403] * 6]
    assert every_log.text.count("[accepted]") == 5, "uvicorn was not heard at all"
    assert every_log.text.count("/elsewhere") == 6
    log = every_log.text + (stack.stack.folder / "stack.log").read_text()
    shown = {piece for secret in (*given, escaped) for piece in pieces_of(secret) if piece in log}
    assert not shown
    assert "access_token" not in log
    assert "apikey" not in log, "the query is masked, but was not left out"


async def test_uvicorns_own_tracing_shows_no_key(every_log: pytest.LogCaptureFixture) -> None:
    """At its lowest level, and when another server of the program has an access log."""
    for name in ("uvicorn.error", "uvicorn.asgi"):
        every_log.set_level(TRACE, name)
    filters = list(logging.getLogger("uvicorn.asgi").filters)
    mirror = Mirror()
    bound = bind_port(0, strict=True)
    listener = Listener(create_gateway(mirror, mirror, mirror), bound)
    logging.getLogger("uvicorn.access").addHandler(every_log.handler)  # the listener took it off
    await listener.start()
    try:
        host, port = bound.getsockname()
        async with httpx.AsyncClient() as client:
            for key in (KEYS.secret, KEYS.anon, KEYS.secret.replace("_", "%5F")):
                for path, status in (("/rest/v1/jobs", 200), ("/elsewhere", 404)):
                    answer = await client.get(f"http://{host}:{port}{path}?a=b&apikey={key}")
                    assert answer.status_code == status
    finally:
        await listener.stop()
    uvicorns = [one.getMessage() for one in every_log.records if one.name.startswith("uvicorn")]
    log = "\n".join(uvicorns)
    assert "/rest/v1/jobs" in log, "uvicorn was not heard at all"
    secrets = (KEYS.secret, KEYS.anon, KEYS.secret.replace("_", "%5F"))
    assert not {piece for secret in secrets for piece in pieces_of(secret) if piece in log}
    assert logging.getLogger("uvicorn.asgi").filters == filters, "left behind"
