"""Frames of both serializers, text and binary."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.spec.realtime.harness import Project, RawClient


def user_push(topic: str, event: str, data: bytes, *, is_json: bool, join_ref: str = "1") -> bytes:
    parts = [part.encode() for part in (join_ref, "9", topic, event, "")]
    header = bytes([3, *(len(part) for part in parts), int(is_json)])
    return header + b"".join(parts) + data


def read_user_broadcast(frame: bytes) -> dict[str, Any]:
    assert frame[0] == 4
    lengths = frame[1:4]
    at, parts = 5, []
    for length in lengths:
        parts.append(frame[at : at + length].decode())
        at += length
    return {
        "topic": parts[0],
        "event": parts[1],
        "meta": parts[2],
        "encoding": frame[4],
        "data": frame[at:],
    }


async def binary(client: RawClient) -> dict[str, Any]:
    return read_user_broadcast((await client.event("binary"))["binary"])


@pytest.mark.spec("RT-15")
@pytest.mark.spec("RT-16")
async def test_version_1_frames_have_four_keys_and_pushes_a_null_ref(project: Project) -> None:
    client = await project.joined(
        "realtime:r", presence={"enabled": True}, broadcast={"self": True}
    )
    await client.event("presence_state")
    await client.send("realtime:r", "broadcast", {"event": "e", "payload": {}})
    assert (await client.event("broadcast"))["ref"] is None
    for text in client.raw:
        frame = json.loads(text)
        assert set(frame) == {"topic", "event", "payload", "ref"}
        if frame["event"] != "phx_reply":
            assert frame["ref"] is None


@pytest.mark.spec("RT-17")
@pytest.mark.spec("RT-18")
async def test_version_2_frames_carry_refs_where_they_belong(project: Project) -> None:
    client = await project.connect("2.0.0")
    ref = await client.join(
        "realtime:r", wait=False, presence={"enabled": True}, broadcast={"self": True}
    )
    reply = await client.reply(ref)
    assert (reply["join_ref"], reply["ref"]) == (ref, ref)
    assert reply["payload"] == {"status": "ok", "response": {"postgres_changes": []}}
    state = await client.event("presence_state")
    assert (state["join_ref"], state["ref"]) == (ref, None)
    missing = [{"event": "*", "schema": "public", "table": "missing"}]
    other = await client.join("realtime:other", postgres_changes=missing)
    system = await client.event("system")
    assert (system["join_ref"], system["ref"]) == (other["join_ref"], None)
    await client.send("realtime:r", "broadcast", {"event": "e", "payload": {}})
    frame = await client.event("broadcast")
    assert (frame["join_ref"], frame["ref"]) == (None, None)
    heartbeat = await client.send("phoenix", "heartbeat", {})
    assert (await client.reply(heartbeat))["join_ref"] is None


@pytest.mark.spec("RT-19")
@pytest.mark.spec("RT-20")
@pytest.mark.spec("RT-22")
async def test_binary_json_push_keeps_its_bytes_for_version_2_and_is_text_for_version_1(
    project: Project,
) -> None:
    topic, event, data = "realtime:zimmer-ä", "größe", b'{"a": 1.50,  "b":"\xc3\xa4"}'
    sender = await project.joined(topic, "2.0.0")
    new = await project.joined(topic, "2.0.0")
    old = await project.joined(topic, "1.0.0")
    await sender.connection.send(user_push(topic, event, data, is_json=True))
    assert await binary(new) == {
        "topic": topic,
        "event": event,
        "meta": "",
        "encoding": 1,
        "data": data,
    }
    assert (await old.event("broadcast"))["payload"] == {
        "type": "broadcast",
        "event": event,
        "payload": {"a": 1.5, "b": "ä"},
    }


@pytest.mark.spec("RT-21")
async def test_binary_data_reaches_version_2_only(project: Project) -> None:
    sender = await project.joined("realtime:r", "2.0.0")
    new = await project.joined("realtime:r", "2.0.0")
    old = await project.joined("realtime:r", "1.0.0")
    data = bytes(range(256))
    await sender.connection.send(user_push("realtime:r", "e", data, is_json=False))
    received = await binary(new)
    assert (received["encoding"], received["data"]) == (0, data)
    await old.fence()
    assert old.frames == []


@pytest.mark.spec("RT-86")
async def test_sql_send_reaches_version_2_as_a_binary_frame(project: Project) -> None:
    client = await project.joined("realtime:room", "2.0.0")
    await project.db.execute("select realtime.send('{\"id\": 7}', 'e', 'room', false)")
    received = await binary(client)
    assert (received["event"], received["encoding"]) == ("e", 1)
    assert json.loads(received["data"]) == {"id": 7}
    assert set(json.loads(received["meta"])) == {"id"}


async def test_sql_send_binary_reaches_version_2_only(project: Project) -> None:
    new = await project.joined("realtime:room", "2.0.0")
    old = await project.joined("realtime:room", "1.0.0")
    await project.db.execute("select realtime.send_binary('\\x00ff'::bytea, 'e', 'room', false)")
    received = await binary(new)
    assert (received["encoding"], received["data"]) == (0, b"\x00\xff")
    await project.fence(old)
    assert old.frames == []
