"""The checks can fail: each planted fault turns the scenario red that should notice it.

A scenario is a short conversation as the other tests have it. It passes on the server as it is, and
must fail on a server with the fault.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from local_stack.realtime import RealtimeConfig
from local_stack.realtime import broadcast as broadcasts
from local_stack.realtime import joining as joins
from local_stack.realtime.authorization import ALL_GRANTED, Authorizer, Grants
from local_stack.realtime.changes import delivery, payload, subscriptions, visibility
from local_stack.realtime.channel import Channel
from local_stack.realtime.presence import Diff, PresenceRoom, PresenceRooms
from local_stack.realtime.rooms import RoomKey, Rooms
from local_stack.realtime.socket import Socket
from local_stack.realtime.token_watch import TokenWatch
from tests.spec.realtime import harness
from tests.spec.realtime.harness import A, B, Project, running_project

Scenario = Callable[[Project], Awaitable[None]]
Patch = pytest.MonkeyPatch
TABLE = (
    "create table t (id int primary key, owner uuid, note text);"
    "alter table t enable row level security;"
    "create policy own on t for select to authenticated using ((select auth.uid()) = owner);"
    "grant select (id, owner) on t to authenticated;"
    "alter publication supabase_realtime add table t"
)
ON_T = {"event": "*", "schema": "public", "table": "t"}
MESSAGE = {"type": "broadcast", "event": "e", "payload": {"n": 1}}


# scenarios -------------------------------------------------------------------------------------


async def row_security(project: Project) -> None:
    await project.db.execute(TABLE)
    mine = await project.listening(ON_T, token=project.token(A))
    other = await project.listening(ON_T, token=project.token(B))
    await project.db.execute(f"insert into t values (1, '{A}', 'secret')")
    change = (await mine.change())["data"]
    assert change["record"] == {"id": 1, "owner": A}
    await project.fence(mine, other)
    assert mine.frames == other.frames == []


async def actions(project: Project) -> None:
    await project.db.execute(TABLE)
    deletes = await project.listening({**ON_T, "event": "DELETE"}, token=project.token(A))
    filtered = await project.listening({**ON_T, "filter": "id=eq.2"}, token=project.token(A))
    await project.db.execute(f"insert into t values (1, '{A}')")
    await project.fence(deletes)
    await project.db.execute("delete from t")
    assert (await deletes.change())["data"]["type"] == "DELETE"
    await project.fence(deletes, filtered)
    assert deletes.frames == filtered.frames == []


async def order_and_time(project: Project) -> None:
    await project.db.execute(TABLE)
    client = await project.listening(ON_T, token=project.token(A))
    await project.db.execute(f"insert into t select g, '{A}' from generate_series(1, 5) g")
    changes = [(await client.change())["data"] for _ in range(5)]
    assert [change["record"]["id"] for change in changes] == [1, 2, 3, 4, 5]
    assert all(change["commit_timestamp"].endswith("Z") for change in changes)


async def rooms(project: Project) -> None:
    await project.db.execute(
        "create policy r on realtime.messages for select to authenticated using (true)"
    )
    public = await project.joined("realtime:r")
    private = await project.joined("realtime:r", token=project.token(), private=True)
    sender = await project.joined("realtime:r", broadcast={"ack": True})
    assert (await sender.call("realtime:r", "broadcast", MESSAGE))["status"] == "ok"
    assert (await public.event("broadcast"))["payload"] == MESSAGE
    await project.db.execute("select realtime.send('{}', 'e', 'r')")
    await private.event("broadcast")
    await project.fence(public, private, sender)
    assert public.frames == private.frames == sender.frames == []


async def permissions(project: Project) -> None:
    client = await project.connect()
    reply = await client.join("realtime:r", token=project.token(), private=True)
    assert reply["status"] == "error"
    await project.db.execute(
        "create policy r on realtime.messages for select to authenticated using (true)"
    )
    hearing = await project.joined("realtime:r", token=project.token(), private=True)
    silent = await project.joined("realtime:r", token=project.token(B), private=True)
    await silent.send("realtime:r", "broadcast", MESSAGE)
    await silent.fence()
    await hearing.fence()
    assert hearing.frames == []


async def leaving(project: Project) -> None:
    client = await project.joined("realtime:r")
    reply = await client.call("realtime:r", "phx_leave", {}, join_ref="1")
    assert reply == {"status": "ok", "response": {}}
    assert (await client.event("phx_close"))["ref"] == "1"
    await project.post("/api/broadcast/r/events/e", json={})
    await client.fence()
    assert client.frames == []


async def joining_again(project: Project) -> None:
    client = await project.joined("realtime:r")
    ref = await client.join("realtime:r", wait=False)
    first, second = await client.frame(lambda _: True), await client.frame(lambda _: True)
    assert (first["event"], first["ref"]) == ("phx_reply", ref)
    assert (second["event"], second["ref"]) == ("phx_close", "1")


async def presence(project: Project) -> None:
    client = await project.joined("realtime:r", presence={"enabled": True, "key": "me"})
    assert (await client.event("presence_state"))["payload"] == {}
    await client.call("realtime:r", "presence", {"event": "track", "payload": {"n": 1}})
    joined = (await client.event("presence_diff"))["payload"]
    assert list(joined["joins"]) == ["me"]
    watcher = await project.joined("realtime:r", presence={"enabled": True})
    assert list((await watcher.event("presence_state"))["payload"]) == ["me"]
    await client.close()
    assert list((await watcher.event("presence_diff"))["payload"]["leaves"]) == ["me"]


async def tokens(project: Project) -> None:
    client = await project.joined("realtime:r", token=project.token(lifetime_s=3))
    assert (await client.system(4))["message"].startswith("Token has expired ")
    await client.event("phx_close")


async def rollback(project: Project) -> None:
    client = await project.joined("realtime:r")
    await project.db.execute("select realtime.send('{\"a\": 1}', 'e', 'r', false)")
    frame = (await client.event("broadcast"))["payload"]
    assert frame.get("meta") == {"id": frame["payload"]["id"]}


# faults ----------------------------------------------------------------------------------------


def skip_row_security(patch: Patch) -> None:
    async def everybody(_db: Any, found: list[Any]) -> list[Any]:
        return found

    patch.setattr(visibility, "_apply_row_security", everybody)


def show_every_column(patch: Patch) -> None:
    original = payload.EncodedChange.render

    def render(self: Any, role: str, select: Any) -> str:
        self.table.readable[role] = frozenset(c.name for c in self.table.columns)
        return original(self, role, select)

    patch.setattr(payload.EncodedChange, "render", render)


def ignore_the_action(patch: Patch) -> None:
    original = subscriptions.SubscriptionRegistry.of_entity

    def of_entity(self: Any, entity: int) -> Any:
        return [dataclasses.replace(s, action="*") for s in original(self, entity)]

    patch.setattr(subscriptions.SubscriptionRegistry, "of_entity", of_entity)


def ignore_filters(patch: Patch) -> None:
    async def unfiltered(_db: Any, found: list[Any]) -> list[Any]:
        return found

    patch.setattr(visibility, "_apply_filters", unfiltered)


def deliver_twice(patch: Patch) -> None:
    original = delivery._send

    def twice(change: Any, group: Any, data_json: str) -> None:
        original(change, group, data_json)
        original(change, group, data_json)

    patch.setattr(delivery, "_send", twice)


def deliver_out_of_order(patch: Patch) -> None:
    original = delivery._send
    held: list[Any] = []

    def late(change: Any, group: Any, data_json: str) -> None:
        held.append((change, group, data_json))
        if len(held) > 1:
            original(*held.pop())
            original(*held.pop())

    patch.setattr(delivery, "_send", late)


def mix_private_and_public(patch: Patch) -> None:
    original = Rooms.broadcast

    def everywhere(self: Rooms, key: RoomKey, push: Any, **options: Any) -> int:
        other = dataclasses.replace(key, private=not key.private)
        return original(self, key, push, **options) + original(self, other, push, **options)

    patch.setattr(Rooms, "broadcast", everywhere)


def always_send_to_self(patch: Patch) -> None:
    original = Rooms.broadcast

    def to_all(self: Rooms, key: RoomKey, push: Any, **options: Any) -> int:
        return original(self, key, push, **{**options, "without": None})

    patch.setattr(Rooms, "broadcast", to_all)


def grant_every_read(patch: Patch) -> None:
    async def read(*_: Any, **__: Any) -> Grants:
        return ALL_GRANTED

    patch.setattr(Authorizer, "read", read)


def grant_every_write(patch: Patch) -> None:
    async def write(*_: Any, **__: Any) -> Grants:
        return ALL_GRANTED

    patch.setattr(Authorizer, "write", write)


def forget_phx_close(patch: Patch) -> None:
    patch.setattr(Channel, "send_close", lambda _self: None)


def close_with_a_wrong_ref(patch: Patch) -> None:
    def send_close(self: Channel) -> None:
        self.socket.send_message(self.topic, "phx_close", {}, ref="0")

    patch.setattr(Channel, "send_close", send_close)


def reply_with_a_wrong_ref(patch: Patch) -> None:
    original = Socket.reply

    def reply(self: Socket, message: Any, *rest: Any, **options: Any) -> None:
        original(self, dataclasses.replace(message, ref="0"), *rest, **options)

    patch.setattr(Socket, "reply", reply)


def stay_in_the_room(patch: Patch) -> None:
    patch.setattr(Rooms, "leave", lambda *_: None)
    original = Channel.detach

    def detach(self: Channel) -> None:
        original(self)
        self.is_attached = True

    patch.setattr(Channel, "detach", detach)


def close_before_the_reply(patch: Patch) -> None:
    original = joins._open

    async def early(socket: Socket, message: Any) -> Any:
        opened = await original(socket, message)
        socket.send_message(message.topic, "phx_close", {}, ref="1")
        return opened

    patch.setattr(joins, "_open", early)


def empty_presence_state(patch: Patch) -> None:
    patch.setattr(PresenceRooms, "state", lambda *_: {})


def forget_who_leaves(patch: Patch) -> None:
    patch.setattr(PresenceRoom, "untrack", lambda *_: Diff({}, {}))


def tokens_never_expire(patch: Patch) -> None:
    patch.setattr(TokenWatch, "follow", lambda *_: None)


def lose_the_message_id(patch: Patch) -> None:
    original = broadcasts._envelope

    def without_meta(event: str, text: str | None, meta: str | None = None) -> str | None:
        del meta
        return original(event, text)

    patch.setattr(broadcasts, "_envelope", without_meta)


FAULTS: list[tuple[Callable[[Patch], None], Scenario]] = [
    (skip_row_security, row_security),
    (show_every_column, row_security),
    (deliver_twice, row_security),
    (ignore_the_action, actions),
    (ignore_filters, actions),
    (deliver_out_of_order, order_and_time),
    (mix_private_and_public, rooms),
    (always_send_to_self, rooms),
    (grant_every_read, permissions),
    (grant_every_write, permissions),
    (forget_phx_close, leaving),
    (close_with_a_wrong_ref, leaving),
    (reply_with_a_wrong_ref, leaving),
    (stay_in_the_room, leaving),
    (close_before_the_reply, joining_again),
    (empty_presence_state, presence),
    (forget_who_leaves, presence),
    (tokens_never_expire, tokens),
    (lose_the_message_id, rollback),
]
SCENARIOS = {scenario.__name__: scenario for _, scenario in FAULTS}


async def play(bare_database: Any, scenario: Scenario) -> None:
    urls = bare_database.admin_url, bare_database.url
    async with running_project(*urls, RealtimeConfig()) as project:
        await scenario(project)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_scenario_passes_without_a_fault(bare_database: Any, name: str) -> None:
    await play(bare_database, SCENARIOS[name])


@pytest.mark.parametrize(("fault", "scenario"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
async def test_a_planted_fault_is_noticed(
    bare_database: Any,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[Patch], None],
    scenario: Scenario,
) -> None:
    monkeypatch.setattr(harness, "WAIT_S", 1.5)  # what does not come is waited for once
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        await play(bare_database, scenario)
