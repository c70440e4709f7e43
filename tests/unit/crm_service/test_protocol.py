"""Connections that are slow, endless or no HTTP at all, over real sockets."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import uvicorn
from uvicorn.server import ServerState

from crm_service.metrics import Metrics
from crm_service.protection import SecurityHeaders
from crm_service.protocol import ServiceProtocol

HEAD_S = 0.15
GOOD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def connect():
    """Opens a connection to a server whose application answers when it is let go."""
    may_answer = asyncio.Event()
    may_answer.set()

    async def app(scope, receive, send):
        await may_answer.wait()
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"done"})

    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_keep_alive=1)
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: ServiceProtocol(
            config,
            state,
            {},
            head_s=HEAD_S,
            protection=SecurityHeaders(https_only=False),
            metrics=Metrics(),
        ),
        "127.0.0.1",
        0,
    )

    @asynccontextmanager
    async def connect():
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            yield reader, writer, may_answer
        finally:
            writer.close()

    yield connect
    server.close()
    await server.wait_closed()


async def read_problem(reader):
    """The problem of an answer after which the connection ends."""
    async with asyncio.timeout(5):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    document = json.loads(body)
    assert b"content-type: application/problem+json" in head
    assert f"x-request-id: {document['request_id']}".encode() in head
    return document


@pytest.mark.parametrize("sent", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: x\r\nX-"])
async def test_a_head_that_does_not_come_is_given_up(connect, sent):
    """Silent from the first byte on, or in the middle."""
    async with connect() as (reader, writer, _):
        writer.write(sent)
        async with asyncio.timeout(5):
            assert await reader.read() == b""


async def test_a_head_in_pieces_is_taken(connect):
    """As long as the whole of it comes in time; a second one may follow."""
    async with connect() as (reader, writer, _):
        for _ in range(2):
            for piece in (GOOD[:9], GOOD[9:]):
                writer.write(piece)
                await asyncio.sleep(0.02)
            async with asyncio.timeout(5):
                assert (await reader.readuntil(b"done")).startswith(b"HTTP/1.1 200")


async def test_an_answer_is_not_cut_by_the_head_behind_it(connect):
    """A further request is waited for anew, once the one before it is answered."""
    async with connect() as (reader, writer, may_answer):
        may_answer.clear()
        writer.write(GOOD + b"GET /half")
        await asyncio.sleep(2 * HEAD_S)
        may_answer.set()
        async with asyncio.timeout(5):
            assert (await reader.read()).endswith(b"done")


async def test_a_head_without_end_is_refused(connect):
    """Before it fills the memory."""
    async with connect() as (reader, writer, _):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000)
        await asyncio.sleep(0.02)
        writer.write(b"a" * 30_000)
        problem = await read_problem(reader)
    assert (problem["status"], problem["type"].rpartition(":")[2]) == (431, "head-too-large")


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n"],
)
async def test_what_is_no_http_gets_a_problem(connect, sent):
    """Another protocol, bytes and NUL where none belong."""
    async with connect() as (reader, writer, _):
        writer.write(sent)
        problem = await read_problem(reader)
    assert (problem["status"], problem["type"].rpartition(":")[2]) == (400, "bad-request")
