"""Broadcasts of clients and over HTTP; broadcasts from SQL are in their own file."""

from __future__ import annotations

import pytest

from local_stack.realtime import RealtimeConfig
from tests.spec.realtime.harness import A, B, Project
from tests.spec.realtime.test_serializer import binary

MESSAGE = {"type": "broadcast", "event": "e", "payload": {"a": 1}}
OWN = "realtime.topic() = 'user:' || (select auth.uid())::text"


@pytest.mark.spec("RT-75")
async def test_self_decides_about_the_own_channel_only(project: Project) -> None:
    quiet = await project.joined("realtime:r")
    loud = await project.joined("realtime:r", broadcast={"self": True})
    await quiet.send("realtime:r", "broadcast", MESSAGE)
    assert (await loud.event("broadcast"))["payload"] == MESSAGE
    await loud.send("realtime:r", "broadcast", MESSAGE)
    await loud.event("broadcast")
    await quiet.event("broadcast")
    await quiet.fence()
    assert quiet.frames == []


@pytest.mark.spec("RT-76")
async def test_only_ack_gets_a_reply(project: Project) -> None:
    acked = await project.joined("realtime:r", broadcast={"ack": True})
    assert await acked.call("realtime:r", "broadcast", MESSAGE) == {"status": "ok", "response": {}}
    plain = await project.joined("realtime:r")
    await plain.send("realtime:r", "broadcast", MESSAGE)
    await plain.fence()
    assert plain.frames == []


@pytest.mark.spec("RT-77")
@pytest.mark.parametrize("project", [RealtimeConfig(max_payload_kb=1)], indirect=True)
async def test_a_payload_over_the_limit_is_not_delivered(project: Project) -> None:
    receiver = await project.joined("realtime:r")
    sender = await project.joined("realtime:r", broadcast={"ack": True})
    reply = await sender.call("realtime:r", "broadcast", {**MESSAGE, "payload": "x" * 2000})
    assert reply == {"status": "error", "response": "payload_size_exceeded"}
    await receiver.fence()
    assert receiver.frames == []


@pytest.mark.spec("RT-78")
@pytest.mark.spec("RT-79")
async def test_private_rooms_are_apart_and_writing_needs_a_policy(project: Project) -> None:
    await project.db.execute(
        "create policy r on realtime.messages for select to authenticated using (true)"
    )
    public = await project.joined("realtime:r")
    private = await project.joined("realtime:r", token=project.token(), private=True)
    sender = await project.joined(
        "realtime:r", token=project.token(B), private=True, broadcast={"ack": True}
    )
    await sender.send("realtime:r", "broadcast", MESSAGE)  # no INSERT policy yet
    await sender.fence()
    assert sender.frames == []
    await project.db.execute(
        "create policy w on realtime.messages for insert to authenticated with check (true)"
    )
    allowed = await project.joined(
        "realtime:r", token=project.token(B), private=True, broadcast={"ack": True}
    )
    assert (await allowed.call("realtime:r", "broadcast", MESSAGE))["status"] == "ok"
    await private.event("broadcast")
    await public.fence()
    await private.fence()
    assert public.frames == private.frames == []


@pytest.mark.spec("RT-80")
async def test_a_batch_is_accepted_and_delivered_as_text(project: Project) -> None:
    client = await project.joined("realtime:r", "2.0.0")
    message = {"topic": "r", "event": "e", "payload": {"a": 1}}
    response = await project.post("/api/broadcast", json={"messages": [message]})
    assert (response.status_code, response.content) == (202, b"")
    assert (await client.event("broadcast"))["payload"] == MESSAGE


@pytest.mark.spec("RT-81")
async def test_one_invalid_message_refuses_the_batch(project: Project) -> None:
    client = await project.joined("realtime:r")
    good = {"topic": "r", "event": "e", "payload": {}}
    response = await project.post(
        "/api/broadcast", json={"messages": [good, {"topic": "r", "payload": []}]}
    )
    assert response.status_code == 422
    assert response.json() == {
        "errors": {"messages": [{}, {"event": ["can't be blank"], "payload": ["is invalid"]}]}
    }
    assert (await project.post("/api/broadcast", json={})).json() == {
        "errors": {"messages": ["can't be blank"]}
    }
    await client.fence()
    assert client.frames == []


@pytest.mark.spec("RT-82")
@pytest.mark.spec("RT-83")
async def test_a_denied_private_message_is_silent_in_a_batch_and_403_alone(
    project: Project,
) -> None:
    await project.db.execute(
        f"create policy r on realtime.messages for select to authenticated using ({OWN});"
        f"create policy w on realtime.messages for insert to authenticated with check ({OWN})"
    )
    topic = f"user:{A}"
    client = await project.joined(f"realtime:{topic}", token=project.token(), private=True)
    message = {"topic": topic, "event": "e", "payload": {}, "private": True}
    other = {"Authorization": f"Bearer {project.token(B)}"}
    batch = await project.post("/api/broadcast", json={"messages": [message]}, headers=other)
    assert batch.status_code == 202
    path = f"/api/broadcast/{topic}/events/e?private=true"
    single = await project.post(path, json={}, headers=other)
    assert (single.status_code, single.json()) == (403, {"message": "Unauthorized"})
    own = {"Authorization": f"Bearer {project.token(A)}"}
    assert (await project.post(path, json={"mine": 1}, headers=own)).status_code == 202
    assert (await client.event("broadcast"))["payload"]["payload"] == {"mine": 1}
    await client.fence()
    assert client.frames == []


@pytest.mark.spec("RT-84")
async def test_single_takes_bytes_and_json_and_nothing_else(project: Project) -> None:
    client = await project.joined("realtime:a b", "2.0.0")
    path = "/api/broadcast/a%20b/events/e"
    octets = {"content-type": "application/octet-stream"}
    assert (await project.post(path, content=b"\x00\x01", headers=octets)).status_code == 202
    received = await binary(client)
    assert (received["encoding"], received["data"]) == (0, b"\x00\x01")
    assert (await project.post(path, json=[1])).status_code == 202
    assert (await binary(client))["data"] == b'{"_json":[1]}'
    text = await project.post(path, content=b"x", headers={"content-type": "text/plain"})
    assert text.status_code == 415


@pytest.mark.spec("RT-84")
async def test_single_decodes_names_after_the_path_was_split(project: Project) -> None:
    client = await project.joined("realtime:a/b c%", "1.0.0")
    sent = await project.post("/api/broadcast/a%2Fb%20c%25/events/e%2F%C3%BC", json={"n": 1})
    assert sent.status_code == 202
    assert (await client.event("broadcast"))["payload"]["event"] == "e/ü"
    elsewhere = await project.post("/api/broadcast/a/b%20c%25/events/e", json={})
    assert elsewhere.status_code == 404
    assert (await project.post("/api/broadcast/a%FF/events/e", json={})).status_code == 400
    await client.fence()
    assert client.frames == []


@pytest.mark.spec("RT-85")
async def test_http_without_a_good_token_is_unauthorized(project: Project) -> None:
    for key in ("", "garbage", project.token(lifetime_s=-1)):
        for path in ("/api/broadcast", "/api/broadcast/r/events/e"):
            response = await project.post(path, key=key, json={"messages": []})
            assert (response.status_code, response.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.spec("RT-8")
async def test_new_style_keys_work_over_http(project: Project) -> None:
    body = {"messages": [{"topic": "r", "event": "e", "payload": {}}]}
    response = await project.post("/api/broadcast", key=project.keys.secret, json=body)
    assert response.status_code == 202
