"""Rooms and plain streams that nobody can join: what is told, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from portal_sdk import (
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
