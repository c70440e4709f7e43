"""What an answer writes within one turn of the event loop leaves in one piece, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from local_stack.http_guard import GuardedHttpProtocol
from local_stack.joined_writes import JoinedWrites


class RecordingTransport(asyncio.Transport):
    """Keeps each piece that would be a system call of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        assert not self.is_closed
        self.pieces.append(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


async def turn() -> None:
    """Let the event loop go round once."""
    await asyncio.sleep(0)


async def test_two_pieces_of_one_turn_leave_together() -> None:
    below = RecordingTransport()
    joined = JoinedWrites(below, asyncio.get_running_loop())
    joined.write(b"head")
    assert below.pieces == []
    joined.write(b"body")
    assert below.pieces == [b"headbody"]
    await turn()
    assert below.pieces == [b"headbody"]


async def test_a_single_piece_leaves_when_the_turn_ends() -> None:
    below = RecordingTransport()
    joined = JoinedWrites(below, asyncio.get_running_loop())
    joined.write(b"head")
    await turn()
    assert below.pieces == [b"head"]
    joined.write(b"body")
    await turn()
    assert below.pieces == [b"head", b"body"]


async def test_nothing_is_lost_when_the_connection_is_closed_or_handed_over() -> None:
    for leave in (JoinedWrites.close, JoinedWrites.release):
        below = RecordingTransport()
        joined = JoinedWrites(below, asyncio.get_running_loop())
        joined.write(b"last words")
        leave(joined)
        assert below.pieces == [b"last words"]
        assert joined.is_closing() == (leave is JoinedWrites.close)
        await turn()
        assert below.pieces == [b"last words"]


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """Answer whole, or the pieces one turn after the other."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/slow":
        await turn()
        await turn()
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await send({"type": "http.response.body", "body": b"two"})


def connect(below: RecordingTransport) -> GuardedHttpProtocol:
    config = uvicorn.Config(app, http=GuardedHttpProtocol, lifespan="off", log_config=None)
    config.load()
    protocol = GuardedHttpProtocol(
        config=config, server_state=ServerState(), app_state={}, _loop=asyncio.get_running_loop()
    )
    protocol.connection_made(below)
    return protocol


async def answered(path: str, *, more: bytes = b"") -> list[bytes]:
    """Return the pieces in which a connection answers a request, and what comes with it."""
    below = RecordingTransport()
    protocol = connect(below)
    protocol.data_received(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() + more)
    for _ in range(6):
        await turn()
    protocol.connection_lost(None)
    return below.pieces


async def test_a_whole_answer_is_fewer_pieces_than_it_has_parts() -> None:
    pieces = await answered("/whole")
    assert len(pieces) == 2
    assert pieces[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert pieces[0].endswith(b"3\r\none\r\n")
    assert pieces[1] == b"3\r\ntwo\r\n0\r\n\r\n"


async def test_a_head_does_not_wait_for_a_body_that_is_not_there_yet() -> None:
    pieces = await answered("/slow")
    assert pieces[0].endswith(b"\r\n\r\n")
    assert b"".join(pieces[1:]) == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_a_refusal_comes_after_the_answer_before_it() -> None:
    below = RecordingTransport()
    protocol = connect(below)
    protocol.data_received(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n")
    while protocol.cycle is None or not protocol.cycle.response_complete:
        await turn()
    protocol.data_received(b"X-Long: " + b"x" * protocol.max_head_bytes)
    protocol.connection_lost(None)
    whole = b"".join(below.pieces)
    assert whole.index(b"two") < whole.index(b"HTTP/1.1 4")
    assert below.is_closed
