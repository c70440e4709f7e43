"""Rooms and plain streams that nobody can join: what is told, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha1
from typing import Any

import pytest

from portal_sdk import (
    ChannelClosedError,
    ConfigurationError,
    Job,
    PortalClosedError,
    PortalConfig,
    StateError,
    TokenAuth,
)
from portal_sdk._runtime.http import HttpApi
from portal_sdk._runtime.room_hub import RoomHub
from portal_sdk._runtime.token_keeper import TokenKeeper
from portal_sdk._runtime.tokens import IssuedToken
from portal_sdk.realtime import Gap, RealtimeClient, TableChanges
from portal_sdk.rooms import BroadcastRoom, PresenceRoom
from tests.support.waiting import eventually

WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def hub() -> RoomHub:
    """Rooms of a project that cannot be reached."""
    made = RoomHub(NOBODY, "key", PortalConfig(queue_capacity=2, backoff_base_s=0.01), lambda: None)
    made.steer("token", is_resting=False)
    return made


Make = Callable[[RoomHub], Any]
ROOMS: dict[str, Make] = {
    "presence": lambda hub: PresenceRoom(hub, "customer:1:a", "a", "jo", None),
    "broadcast": lambda hub: BroadcastRoom(hub, "customer:1:a", "a", "jo"),
    "changes": lambda hub: TableChanges(hub, Job, ("*", "public", "jobs", None)),
}


@pytest.mark.parametrize("kind", ROOMS)
async def test_whoever_enters_a_room_hears_of_the_portals_end_at_once(
    hub: RoomHub, kind: str
) -> None:
    entering = asyncio.create_task(ROOMS[kind](hub).__aenter__())
    await asyncio.sleep(0.05)
    await hub.close()
    with pytest.raises(PortalClosedError):
        await asyncio.wait_for(entering, 5)


@pytest.mark.spec("ROOM-5")
@pytest.mark.parametrize("kind", ROOMS)
async def test_a_room_that_was_made_before_the_end_is_not_entered_after_it(
    hub: RoomHub, kind: str
) -> None:
    """Nothing is opened: no task, no timer, and the hub knows no room."""
    room = ROOMS[kind](hub)
    await hub.close()
    before = asyncio.all_tasks()
    with pytest.raises(PortalClosedError):
        await asyncio.wait_for(room.__aenter__(), 5)
    hub.steer("another token", is_resting=False)
    assert (asyncio.all_tasks(), hub._rooms, room._runner._link) == (before, set(), None)


@pytest.mark.spec("ROOM-5")
@pytest.mark.parametrize("kind", ROOMS)
async def test_a_room_that_was_closed_is_not_entered(hub: RoomHub, kind: str) -> None:
    """It would wait for a join that never comes."""
    room = ROOMS[kind](hub)
    await room.close()
    with pytest.raises(PortalClosedError, match="make a new one"):
        await asyncio.wait_for(room.__aenter__(), 5)
    other = ROOMS[kind](hub)
    other._is_entered = True
    with pytest.raises(StateError, match="entered once"):
        await asyncio.wait_for(other.__aenter__(), 5)


@pytest.mark.spec("ROOM-5")
@pytest.mark.parametrize("kind", ROOMS)
async def test_a_join_in_the_moment_of_the_end_enters_nothing(hub: RoomHub, kind: str) -> None:
    """The room was joined, but who waits for it runs only after the portal closed."""
    room = ROOMS[kind](hub)
    entering = asyncio.create_task(room.__aenter__())
    await asyncio.sleep(0)
    room.joined()
    room.presence("presence_state", {})
    await hub.close()
    with pytest.raises(PortalClosedError):
        await asyncio.wait_for(entering, 5)


@pytest.mark.spec("ROOM-5")
async def test_a_socket_that_comes_after_the_room_was_dropped_is_closed() -> None:
    """The server is slow with its answer, and meanwhile the room is paused, and later closed."""
    asked, answers = asyncio.Event(), asyncio.Event()
    ends: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(asyncio.current_task())  # type: ignore[arg-type]
        request = await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await answers.wait()
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
        assert key
        accept = b64encode(sha1(key[1] + WEBSOCKET_GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        with contextlib.suppress(ConnectionError):
            while await reader.read(1024):
                pass
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        hub = RoomHub(f"http://127.0.0.1:{port}", "key", PortalConfig(), lambda: None)
        hub.steer("token", is_resting=False)
        entering = asyncio.create_task(ROOMS["broadcast"](hub).__aenter__())
        await asyncio.wait_for(asked.wait(), 5)
        hub.steer("token", is_resting=True)
        answers.set()
        await asyncio.wait_for(asyncio.wait(ends), 5)
        await hub.close()
        with pytest.raises(PortalClosedError):
            await asyncio.wait_for(entering, 5)
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not {name for name in names if name.startswith("portal-")}


@pytest.mark.spec("ROOM-5")
async def test_a_client_that_was_closed_is_not_entered() -> None:
    client = RealtimeClient(NOBODY, "key", auth=TokenAuth("token"))
    await client.close()
    with pytest.raises(PortalClosedError):
        await client.__aenter__()


@pytest.mark.spec("ROOM-5")
async def test_a_client_that_is_closed_while_it_is_entered_says_so_at_once() -> None:
    async def token() -> str:
        await asyncio.Event().wait()
        return ""

    client = RealtimeClient(NOBODY, "key", auth=TokenAuth(token))
    entering = asyncio.create_task(client.__aenter__())
    await asyncio.sleep(0.01)
    await client.close()
    with pytest.raises(PortalClosedError):
        await asyncio.wait_for(entering, 5)


async def test_the_streams_of_a_room_end_with_the_portal(hub: RoomHub) -> None:
    """Also those that somebody asks for afterwards."""
    present, room = ROOMS["presence"](hub), ROOMS["broadcast"](hub)
    present._runner.start()
    room._runner.start()
    typing = room.typing()
    typing.take({"key": "someone", "is_typing": True})
    assert typing.keys == {"someone"}
    streams = [present.changes(), room.events(), typing.changes()]
    await hub.close()
    for stream in [*streams, present.changes(), room.events()]:
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(stream), 5)
    assert typing.keys == frozenset()


async def test_a_thread_cannot_act_on_a_room(hub: RoomHub) -> None:
    room = ROOMS["presence"](hub)
    with pytest.raises(StateError, match="event loop that entered"):
        await asyncio.to_thread(room.update, {"name": "Jo"})


@pytest.mark.spec("ROOM-5")
async def test_after_leaving_nothing_is_promised(hub: RoomHub) -> None:
    """Nobody joins the room again: what to do instead is said, also to who typed just before."""
    present, room = ROOMS["presence"](hub), ROOMS["broadcast"](hub)
    with pytest.raises(StateError, match="async with"):
        await room.send("x")
    room._is_entered = True
    with pytest.raises(StateError, match="Enter the room first"):
        present.update({"name": "Jo"})
    present._is_entered = True
    present.update({"name": "Jo"})
    with pytest.raises(ChannelClosedError, match="paused or signed out"):
        await room.send("x")
    room._runner.start()
    with pytest.raises(ChannelClosedError, match="joined again by itself"):
        await room.send("x")
    typing = room.typing()
    typing._sent_at = asyncio.get_running_loop().time()
    await room.close()
    await present.close()
    with pytest.raises(ChannelClosedError, match="left, which is final: make a new one"):
        await room.send("x")
    with pytest.raises(ChannelClosedError, match="left, which is final: make a new one"):
        await typing.touch()
    with pytest.raises(StateError, match="left, which is final: make a new one"):
        present.update({"name": "Jo"})
    await hub.close()
    with pytest.raises(ChannelClosedError, match="closed: open a new one"):
        await room.send("x")
    with pytest.raises(PortalClosedError, match="closed: open a new one"):
        present.update({"name": "Jo"})


async def test_a_stream_of_changes_is_read_inside_of_it(hub: RoomHub) -> None:
    """Outside it would wait for ever."""
    with pytest.raises(StateError, match="Enter the stream first"):
        await asyncio.wait_for(anext(ROOMS["changes"](hub)), 5)


@pytest.mark.parametrize("model", [dict, int, "Job", None])
async def test_a_model_that_is_none_is_refused(hub: RoomHub, model: Any) -> None:
    """Whatever came would be unreadable."""
    client = RealtimeClient(NOBODY, "key", auth=TokenAuth("token"))
    with pytest.raises(ConfigurationError, match="pydantic model class"):
        client.table_changes(model, table="jobs")
    with pytest.raises(ConfigurationError, match="pydantic model class"):
        await client.read(model, table="jobs")
    if model is not None:
        with pytest.raises(ConfigurationError, match="pydantic model class"):
            ROOMS["broadcast"](hub).events("x", model)


async def test_a_keystroke_that_could_not_be_told_is_tried_again(hub: RoomHub) -> None:
    """The pause between two marks counts only after one that was sent."""
    room = ROOMS["broadcast"](hub)
    tried: list[str] = []

    async def send(event: str, _payload: Any) -> None:
        tried.append(event)
        raise ConnectionError

    room.send = send
    typing = room.typing()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await typing.touch()
    assert len(tried) == 2


async def test_a_reader_that_was_too_slow_is_told_of_a_gap(hub: RoomHub) -> None:
    """The stream goes on behind it: read the table again, as after every gap."""
    changes = ROOMS["changes"](hub)
    changes._is_entered = True
    gone = {"data": {"type": "DELETE", "old_record": {"id": "j"}}}
    for _ in range(3):
        changes.change(gone)
    seen = [await anext(changes) for _ in range(3)]
    assert seen[2] == Gap("overflow")
    changes.change(gone)
    assert (await asyncio.wait_for(anext(changes), 5)).old == {"id": "j"}


async def test_a_source_of_tokens_that_breaks_is_asked_again() -> None:
    """An application may bring its own; what it raises must not leave the client without tokens."""

    class Odd:
        calls = 0

        async def fetch(self, http: HttpApi, *, renew: bool) -> IssuedToken:
            del http, renew
            self.calls += 1
            if self.calls == 1:
                raise ValueError("secret")
            return IssuedToken("token", "user", None)

    unused: Any = None
    config = PortalConfig(backoff_base_s=0.01)
    keeper = TokenKeeper(Odd(), unused, config, lambda: None)
    keeper.start()
    await eventually(lambda: keeper.token == "token")
    await keeper.close()


async def test_the_own_typing_mark_is_not_somebody_elses(hub: RoomHub) -> None:
    """In a room that hears itself it comes back; another device of the same user still counts."""
    room = BroadcastRoom(hub, "customer:1:a", "a", "jo", hears_self=True)
    sent: list[Any] = []

    async def send(_event: str, payload: Any) -> None:
        sent.append(payload)

    room.send = send  # type: ignore[method-assign, assignment]
    typing = room.typing()
    await typing.touch()
    room.broadcast("typing", sent[0])
    assert typing.keys == frozenset()
    room.broadcast("typing", {"key": "jo", "is_typing": True})
    assert typing.keys == {"jo"}
    typing.close()


@pytest.mark.parametrize("value", ["garbage", "=eq.1", "id=", "id=1", "", 5])
async def test_a_filter_that_is_none_is_said_before_anybody_waits(value: Any) -> None:
    """Realtime takes the join, and tells only afterwards that it cannot read the filter."""
    client = RealtimeClient(NOBODY, "key", auth=TokenAuth("token"))
    with pytest.raises(ConfigurationError, match="A filter looks like"):
        client.table_changes(Job, "*", value)
    with pytest.raises(ConfigurationError, match="A filter looks like"):
        await client.read(Job, value)
