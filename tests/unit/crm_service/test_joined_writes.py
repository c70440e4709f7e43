"""What leaves of an answer, in how many pieces; uvicorn's own protocol says how it has to look."""

import asyncio

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from crm_service.joined_writes import JoinedWritesProtocol

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LENGTH = (b"content-length", b"4")
EMPTY = (b"content-length", b"0")
TEXT = (b"content-type", b"text/plain")


class Transport(asyncio.Transport):
    """Remembers what is done to it."""

    def __init__(self):
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.done = []

    def write(self, data):
        self.done.append(bytes(data))

    def close(self):
        self.done.append("close")

    def is_closing(self):
        return "close" in self.done


def start(*headers, status=200):
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(content, **more):
    return {"type": "http.response.body", "body": content, **more}


class Nap:
    """Instead of a message: a turn of the event loop."""


class Question:
    """Instead of a message: something in the application waits from here on for the end."""


async def sent(protocol_class, *messages, request=GET):
    """What an application's messages make of a connection."""

    async def wait_for_end(receive):
        while (await receive())["type"] != "http.disconnect":
            pass

    async def app(scope, receive, send):
        waiting = []
        for message in messages:
            if isinstance(message, Exception):
                raise message
            if isinstance(message, Question):
                waiting.append(asyncio.ensure_future(wait_for_end(receive)))
            await (send(message) if isinstance(message, dict) else asyncio.sleep(0))
        await asyncio.gather(*waiting)

    config = uvicorn.Config(app, log_config=None, lifespan="off", access_log=False)
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"today")]
    transport = Transport()
    protocol = protocol_class(config, state, {})
    protocol.connection_made(transport)
    protocol.data_received(request)
    while state.tasks:
        _, waiting = await asyncio.wait(state.tasks, timeout=5)
        assert not waiting
    await asyncio.sleep(0)
    protocol.connection_lost(None)
    return transport.done


async def test_head_and_body_are_one_write():
    """The body takes the head along."""
    done = await sent(JoinedWritesProtocol, start(LENGTH), Nap(), body(b"done"))
    assert done == [b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 4\r\n\r\ndone", "close"]


async def test_a_head_without_length_leaves_at_once():
    """An event stream's head is there before its first event."""
    parts = await sent(JoinedWritesProtocol, start(TEXT), body(b"a", more_body=True), body(b""))
    assert parts[0].endswith(b"\r\n\r\n")
    assert parts[1:] == [b"1\r\na\r\n", b"0\r\n\r\n", "close"]


ANSWERS = {
    "usual": [start(LENGTH, TEXT), body(b"done")],
    "refusal": [start(LENGTH, TEXT, (b"retry-after", b"7"), status=503), body(b"done")],
    "strange status": [start(LENGTH, status=599), body(b"done")],
    "capitals": [start((b"Content-Length", b"4"), (b"X-Y", b"Z")), body(b"done")],
    "two of a name": [start(LENGTH, (b"set-cookie", b"a"), (b"set-cookie", b"b")), body(b"done")],
    "tab and umlaut": [start(LENGTH, (b"x", b"a\tb\xfc")), body(b"done")],
    "no content": [start(status=204), body(b"")],
    "empty": [start(EMPTY), body(b"")],
    "pieces": [start(LENGTH), body(b"do", more_body=True), body(b"ne")],
    "chunks": [start(), body(b"do", more_body=True), body(b"ne")],
    "closing": [start(LENGTH, (b"connection", b"close")), body(b"done")],
    "chunked by hand": [start((b"transfer-encoding", b"chunked")), body(b"done")],
    "too long": [start(LENGTH), body(b"done and more")],
    "too short": [start(LENGTH), body(b"do")],
    "length in words": [start((b"content-length", b"four")), body(b"done")],
    "length with a zero": [start((b"content-length", b"04")), body(b"done")],
    "twice": [start(LENGTH), body(b"done"), body(b"more")],
    "body first": [body(b"done")],
    "two heads": [start(LENGTH), start(LENGTH), body(b"done")],
    "two empty heads": [start(EMPTY), start(EMPTY), body(b"")],
    "another head": [start(TEXT), start(LENGTH), body(b"done")],
    "a question before": [Question(), start(LENGTH), body(b"done")],
    "a question behind": [start(LENGTH), body(b"done"), Question()],
    "nothing": [],
    "bug before": [ValueError()],
    "bug behind": [start(LENGTH), body(b"done"), ValueError()],
    **{
        f"value with {value!r}": [start(LENGTH, (b"x", value)), body(b"done")]
        for value in (b"a\r\nB: c", b"a\nb", b"a\rb", b"\x00", b"a\x0bb", b"a\x7f", b"\n", b"\r\n")
    },
    **{
        f"name {name!r}": [start(LENGTH, (name, b"x")), body(b"done")]
        for name in (b"a b", b"a:b", b"a\r\nb", b"a\x00", b"\xe4")
    },
}
REQUESTS = {
    "GET": GET,
    "HEAD": GET.replace(b"GET", b"HEAD"),
    "old": GET.replace(b"1.1", b"1.0"),
    "closing": GET.replace(b"Host", b"Connection: close\r\nHost"),
    "pipelined": GET + GET,
}


@pytest.mark.parametrize("request_bytes", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("messages", ANSWERS.values(), ids=ANSWERS)
async def test_the_bytes_are_those_of_uvicorn(messages, request_bytes):
    """Whatever an application sends, also what it must not."""
    own = await sent(JoinedWritesProtocol, *messages, request=request_bytes)
    its = await sent(HttpToolsProtocol, *messages, request=request_bytes)
    assert _joined(own) == _joined(its)


@pytest.mark.parametrize("end", [[], [ValueError()]], ids=["silence", "bug"])
async def test_a_head_whose_body_never_comes_is_not_sent(end):
    """Uvicorn would send half an answer; this one is whole, and says that something is wrong."""
    done = await sent(JoinedWritesProtocol, start(LENGTH), *end)
    assert _joined(done).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")


def _joined(done):
    return b"".join(b"<close>" if part == "close" else part for part in done)
