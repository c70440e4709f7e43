"""The slots of the servers: one that loses a background task is replaced."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest

from local_stack.errors import StackError
from local_stack.servers import _revive, _Slot


class Server:
    """A server with one background task; `fails` makes it unable to start."""

    fails = False
    made: ClassVar[list[Server]] = []

    def __init__(self) -> None:
        self.made.append(self)
        self.stopped = False
        self.background_tasks: list[asyncio.Task[None]] = []

    async def app(self, scope: object, receive: object, send: object) -> None:
        raise AssertionError

    async def start(self) -> None:
        if self.fails:
            raise OSError("no database")
        self.background_tasks = [asyncio.create_task(self._work(), name="work")]

    async def _work(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self.stopped = True
        for task in self.background_tasks:
            task.cancel()
        await asyncio.gather(*self.background_tasks, return_exceptions=True)


async def answers_of(slot: _Slot[Server], kind: str = "http") -> list[dict[str, object]]:
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await slot.app({"type": kind}, receive, send)
    return sent


async def test_a_server_that_lost_a_task_is_replaced() -> None:
    """The dead one is stopped, a new one takes its place; a healthy one is left alone."""
    slot = _Slot("Test", Server)
    await slot.start()
    first = slot.server
    assert first is not None
    assert await _revive(slot) is None
    assert slot.server is first
    first.background_tasks[0].cancel()
    await asyncio.gather(first.background_tasks[0], return_exceptions=True)
    assert slot.dead_tasks() == ["task 'work' was cancelled"]
    assert await _revive(slot) is None
    assert slot.server is not first
    assert first.stopped
    await slot.stop()


async def test_a_server_that_cannot_start_is_tried_again_and_answers_503() -> None:
    """Meanwhile requests and sockets are told to try again."""
    slot = _Slot("Test", Server)
    Server.fails = True
    try:
        assert await _revive(slot) == "The Test server is down; trying again."
        http = await answers_of(slot)
        assert http[0]["status"] == 503
        socket = await answers_of(slot, "websocket")
        assert socket[0]["type"] == "websocket.http.response.start"
        assert socket[0]["status"] == 503
    finally:
        Server.fails = False
    assert await _revive(slot) is None
    assert slot.server is not None
    await slot.stop()


async def test_a_first_start_that_fails_is_an_error() -> None:
    """With the name of the server and the reason, and the half-started one is stopped."""
    slot = _Slot("Test", Server)
    Server.fails = True
    try:
        with pytest.raises(StackError, match="The Test server could not start: no database"):
            await slot.start()
    finally:
        Server.fails = False
    assert Server.made[-1].stopped
