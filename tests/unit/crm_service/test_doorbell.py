"""The socket of an event stream is given back, however its stream ends."""

import asyncio
import contextlib
import gc
import json
import os
from uuid import UUID

import pytest
from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from crm_service.auth import Subject
from crm_service.events.doorbell import Doorbell
from tests.support.crm import STAFF_ID


async def talk(socket: ServerConnection) -> None:
    """Let the caller join, as Realtime does, and then tell of others without end."""
    joined = json.loads(await socket.recv())
    reply = {"topic": joined["topic"], "event": "phx_reply", "ref": joined["ref"]}
    await socket.send(json.dumps({**reply, "payload": {"status": "ok", "response": {}}}))
    diff = {"topic": joined["topic"], "event": "presence_diff", "payload": {}, "ref": None}
    with contextlib.suppress(ConnectionClosed):
        while True:
            for _ in range(100):
                await socket.send(json.dumps(diff))
            await asyncio.sleep(0)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names alone, as they are now


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts what Linux shows")  # noqa: PTH112
async def test_a_stream_whose_caller_left_keeps_no_socket():
    """Its task is cancelled again and again; waiting for garbage collection would be too late."""
    async with serve(talk, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        subject = Subject(UUID(STAFF_ID), SecretStr("token"))
        before = open_files()
        gc.disable()
        try:
            for _ in range(5):
                doorbell = Doorbell(f"ws://127.0.0.1:{port}", "key", subject, says={})
                listening = asyncio.create_task(doorbell.run())
                await asyncio.wait_for(doorbell.rung.wait(), 5)
                assert doorbell.live
                while not listening.done():
                    listening.cancel()
                    await asyncio.sleep(0)
            async with asyncio.timeout(5):
                while open_files() > before:  # noqa: ASYNC110 - the system says nothing
                    await asyncio.sleep(0.02)
        finally:
            gc.enable()
