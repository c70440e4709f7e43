"""Presence: state, diffs, limits, and who may see them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.spec.realtime.harness import Project, RawClient

ROOM = "realtime:lobby"


def track(payload: Any) -> dict[str, Any]:
    return {"type": "presence", "event": "track", "payload": payload}


async def present(project: Project, key: Any = "", **config: Any) -> RawClient:
    client = await project.joined(ROOM, presence={"enabled": True, "key": key}, **config)
    await client.event("presence_state")
    return client


async def diff(client: RawClient) -> Any:
    return (await client.event("presence_diff"))["payload"]


@pytest.mark.spec("RT-95")
async def test_state_follows_the_reply_only_when_enabled(project: Project) -> None:
    client = await project.joined(ROOM, presence={"enabled": True})
    assert (await client.event("presence_state"))["payload"] == {}
    other = await project.joined(ROOM, presence={"enabled": False})
    await other.fence()
    assert other.frames == []


@pytest.mark.spec("RT-96")
@pytest.mark.spec("RT-102")
async def test_track_is_told_to_everybody_the_sender_included(project: Project) -> None:
    client, other = await present(project, "me"), await present(project)
    reply = await client.call(ROOM, "presence", {"event": "TRACK", "payload": {"name": "Jo"}})
    assert reply == {"status": "ok", "response": {}}
    for receiver in (client, other):
        change = await diff(receiver)
        (meta,) = change["joins"]["me"]["metas"]
        assert change["leaves"] == {}
        assert set(meta) == {"phx_ref", "name"}
        assert len(meta["phx_ref"]) == 16


@pytest.mark.spec("RT-97")
async def test_tracking_again_replaces_and_the_same_again_is_silent(project: Project) -> None:
    client = await present(project, "me")
    await client.call(ROOM, "presence", track({"n": 1}))
    first = (await diff(client))["joins"]["me"]["metas"][0]
    assert (await client.call(ROOM, "presence", track({"n": 1})))["status"] == "ok"
    await client.call(ROOM, "presence", track({"m": 2}))
    change = await diff(client)
    meta = change["joins"]["me"]["metas"][0]
    assert meta["phx_ref_prev"] == first["phx_ref"] != meta["phx_ref"]
    assert "n" not in meta
    assert change["leaves"]["me"]["metas"][0] == first


@pytest.mark.spec("RT-98")
@pytest.mark.parametrize("how", ["untrack", "leave", "disconnect"])
async def test_whoever_goes_is_told_as_a_leave(project: Project, how: str) -> None:
    client, other = await present(project, "me"), await present(project)
    await client.call(ROOM, "presence", track({}))
    await diff(other)
    if how == "untrack":
        await client.call(ROOM, "presence", {"event": "untrack"})
    elif how == "leave":
        await client.send(ROOM, "phx_leave", {}, join_ref="1")
    else:
        client.connection.transport.abort()
    change = await diff(other)
    assert change["joins"] == {}
    assert list(change["leaves"]) == ["me"]


@pytest.mark.spec("RT-99")
@pytest.mark.spec("RT-100")
async def test_keys_default_to_unique_are_text_and_may_be_shared(project: Project) -> None:
    clients = [await present(project, key) for key in (7, 7, "", "")]
    for client in clients:
        await client.call(ROOM, "presence", track({}))
    watcher = await project.joined(ROOM, presence={"enabled": True})
    state = (await watcher.event("presence_state"))["payload"]
    assert len(state) == 3
    assert len(state["7"]["metas"]) == 2


@pytest.mark.spec("RT-101")
async def test_a_track_payload_must_be_an_object(project: Project) -> None:
    client = await present(project)
    assert await client.call(ROOM, "presence", track([1])) == {
        "status": "error",
        "response": {"reason": "Presence track payload must be a map"},
    }


@pytest.mark.spec("RT-103")
async def test_the_sixth_call_in_the_window_ends_the_channel(project: Project) -> None:
    client = await present(project)
    for number in range(5):
        await client.call(ROOM, "presence", track({"n": number}))
    await client.send(ROOM, "presence", track({"n": 6}))
    system = await client.system()
    assert (system["status"], system["message"]) == ("error", "Client presence rate limit exceeded")
    await client.event("phx_close")


@pytest.mark.spec("RT-104")
async def test_a_public_member_without_presence_still_gets_diffs(project: Project) -> None:
    watcher = await project.joined(ROOM)
    await (await present(project, "me")).call(ROOM, "presence", track({}))
    assert list((await diff(watcher))["joins"]) == ["me"]


@pytest.mark.spec("RT-105")
async def test_private_presence_needs_its_own_permissions(project: Project) -> None:
    await project.db.execute(
        "create policy r on realtime.messages for select to authenticated using "
        "(extension = 'broadcast' or auth.jwt() ->> 'sub' like '1%');"
        "create policy w on realtime.messages for insert to authenticated with check "
        "(extension = 'broadcast' or auth.jwt() ->> 'sub' like '1%')"
    )
    options: dict[str, Any] = {"private": True, "presence": {"enabled": True, "key": "k"}}
    blind = await project.joined(ROOM, token=project.token("2" * 8), **options)
    seeing = await project.joined(ROOM, token=project.token("1" * 8), **options)
    assert await blind.call(ROOM, "presence", track({})) == {"status": "error", "response": {}}
    assert (await seeing.call(ROOM, "presence", track({})))["status"] == "ok"
    await diff(seeing)
    await blind.fence()
    assert blind.frames == []
