"""Joining, leaving, joining again."""

from __future__ import annotations

import pytest

from local_stack.realtime import RealtimeConfig
from tests.spec.realtime.harness import Project

TABLE = {"event": "*", "schema": "public", "table": "t"}


@pytest.mark.spec("RT-23")
@pytest.mark.spec("RT-24")
async def test_the_reply_echoes_bindings_with_an_id_added(project: Project) -> None:
    client = await project.connect()
    assert (await client.join("realtime:none"))["response"] == {"postgres_changes": []}
    bindings = [{**TABLE, "event": "INSERT", "extra": [1]}, {"schema": "public"}]
    echo = (await client.join("realtime:some", postgres_changes=bindings))["response"]
    ids = [binding.pop("id") for binding in echo["postgres_changes"]]
    assert echo["postgres_changes"] == bindings
    assert all(isinstance(value, int) and value > 0 for value in ids)


@pytest.mark.spec("RT-25")
async def test_equal_bindings_share_an_id_across_sockets(project: Project) -> None:
    other = {**TABLE, "table": "u"}
    first = await (await project.connect()).join("realtime:a", postgres_changes=[TABLE, other])
    second = await (await project.connect()).join("realtime:b", postgres_changes=[TABLE])
    one, two = (binding["id"] for binding in first["response"]["postgres_changes"])
    assert second["response"]["postgres_changes"][0]["id"] == one != two


@pytest.mark.spec("RT-26")
async def test_a_topic_without_name_is_refused(project: Project) -> None:
    client = await project.connect()
    reply = await client.join("realtime:")
    assert reply["response"]["reason"] == "TopicNameRequired: You must provide a topic name"


@pytest.mark.spec("RT-27")
async def test_foreign_and_unjoined_topics_are_unmatched(project: Project) -> None:
    client = await project.connect()
    unmatched = {"status": "error", "response": {"reason": "unmatched topic"}}
    assert await client.call("room", "phx_join", {}) == unmatched
    assert await client.call("realtime:x", "broadcast", {}) == unmatched


@pytest.mark.spec("RT-28")
async def test_private_is_cast_leniently(project: Project) -> None:
    client = await project.connect()
    reply = await client.join("realtime:a", private="true")
    assert reply["response"]["reason"].startswith("Unauthorized: ")
    assert (await client.join("realtime:b", private=5))["status"] == "ok"


@pytest.mark.spec("RT-29")
@pytest.mark.parametrize("bindings", [None, [None]])
async def test_null_bindings_are_none(project: Project, bindings: object) -> None:
    client = await project.connect()
    reply = await client.join("realtime:a", postgres_changes=bindings)
    assert reply["response"] == {"postgres_changes": []}


@pytest.mark.spec("RT-30")
@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
async def test_leave_is_answered_and_then_closed_with_the_joins_ref(
    project: Project, version: str
) -> None:
    client = await project.connect(version)
    join_ref = (await client.join("realtime:a"))["join_ref"]
    ref = await client.send("realtime:a", "phx_leave", {}, join_ref=join_ref)
    close = await client.event("phx_close")
    assert (await client.reply(ref))["payload"] == {"status": "ok", "response": {}}
    assert (close["ref"], close["payload"]) == (join_ref, {})


@pytest.mark.spec("RT-31")
async def test_leaving_an_unjoined_topic_is_fine(project: Project) -> None:
    client = await project.connect()
    assert await client.call("realtime:a", "phx_leave", {}) == {"status": "ok", "response": {}}


@pytest.mark.spec("RT-32")
async def test_a_second_join_is_answered_before_the_first_is_closed(project: Project) -> None:
    client = await project.connect()
    first = (await client.join("realtime:a"))["join_ref"]
    second = await client.join("realtime:a", broadcast={"self": True}, wait=False)
    frame = await client.frame(lambda _: True)
    assert (frame["event"], frame["ref"], frame["payload"]["status"]) == ("phx_reply", second, "ok")
    assert (await client.event("phx_close"))["ref"] == first
    await client.send("realtime:a", "broadcast", {"event": "e", "payload": {}}, join_ref=second)
    await client.event("broadcast")


@pytest.mark.spec("RT-33")
@pytest.mark.spec("RT-34")
async def test_a_stale_leave_is_ignored_and_a_stale_broadcast_is_not(project: Project) -> None:
    client = await project.joined("realtime:a", broadcast={"self": True})
    await client.send("realtime:a", "phx_leave", {}, join_ref="stale", ref="leave")
    for join_ref in ("stale", None):
        await client.send("realtime:a", "broadcast", {"event": "e"}, join_ref=join_ref)
        await client.event("broadcast")
    assert client.frames == []


@pytest.mark.spec("RT-35")
async def test_bad_tokens_are_named_at_the_join(project: Project) -> None:
    client = await project.connect()
    reply = await client.join("realtime:a", token="garbage")
    assert reply["response"]["reason"] == "MalformedJWT: The token provided is not a valid JWT"
    reply = await client.join("realtime:a", token=project.token(lifetime_s=-7))
    reason = reply["response"]["reason"]
    assert reason.startswith("InvalidJWTToken: Token has expired ")
    assert reason.endswith(" seconds ago")


@pytest.mark.spec("RT-36")
async def test_an_sb_token_means_the_connections_own(project: Project) -> None:
    client = await project.connect(key=project.token())
    assert (await client.join("realtime:a", token="sb_x"))["status"] == "ok"


@pytest.mark.spec("RT-37")
async def test_nothing_of_a_channel_precedes_its_reply(project: Project) -> None:
    sender = await project.joined("realtime:a")
    client = await project.connect()
    for number in range(10):
        await sender.send("realtime:a", "broadcast", {"event": "e", "payload": {"n": number}})
    ref = await client.join("realtime:a", wait=False)
    for number in range(10):
        await sender.send("realtime:a", "broadcast", {"event": "e", "payload": {"n": number}})
    await client.reply(ref)
    first = client.raw[0]
    assert isinstance(first, str)
    assert '"phx_reply"' in first


@pytest.mark.spec("RT-38")
@pytest.mark.parametrize("project", [RealtimeConfig(private_only=True)], indirect=True)
async def test_a_public_join_is_refused_under_private_only(project: Project) -> None:
    reply = await (await project.connect()).join("realtime:a")
    assert reply["response"]["reason"] == "PrivateOnly: This project only allows private channels"


@pytest.mark.spec("RT-39")
async def test_the_hundred_and_first_channel_is_refused(project: Project) -> None:
    client = await project.connect()
    for number in range(100):
        assert (await client.join(f"realtime:{number}"))["status"] == "ok"
    reply = await client.join("realtime:100")
    assert reply["response"]["reason"] == "ChannelRateLimitReached: Too many channels"
    payload = {"event": "e", "payload": {}}
    await (await project.joined("realtime:5")).send("realtime:5", "broadcast", payload)
    assert (await client.event("broadcast"))["topic"] == "realtime:5"


async def test_a_config_that_is_no_object_is_refused(project: Project) -> None:
    client = await project.connect()
    reply = await client.call("realtime:a", "phx_join", {"config": "str"})
    assert reply["response"]["reason"].startswith("UnknownErrorOnChannel: ")
