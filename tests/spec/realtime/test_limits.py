"""Rate limits: off unless configured; when on, they answer as the real server does."""

from __future__ import annotations

from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from local_stack.realtime import RealtimeConfig
from local_stack.realtime.limits import RateCounter
from tests.spec.realtime.harness import Project

MESSAGE = {"type": "broadcast", "event": "e", "payload": {}}


@pytest.fixture(autouse=True)
def short_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate is known after a bucket of 5 s; here after 50 ms."""
    monkeypatch.setattr(RateCounter, "BUCKET_S", 0.05)


async def until_system(project: Project, client: Any, *, event: str, payload: Any) -> Any:
    """Send until the server ends the channel; return its last word."""
    while not client.pending("system"):
        await client.send("realtime:r", event, payload)
        await client.fence()
    await client.event("phx_close")
    return await client.system()


@pytest.mark.parametrize("project", [RealtimeConfig(max_events_per_second=20)], indirect=True)
async def test_too_many_messages_end_the_channel_and_http_gets_429(project: Project) -> None:
    client = await project.joined("realtime:r", broadcast={"self": True})
    word = await until_system(project, client, event="broadcast", payload=MESSAGE)
    assert (word["status"], word["message"]) == ("error", "Too many messages per second")
    body = {"messages": [{"topic": "r", "event": "e", "payload": {}}]}
    response = await project.post("/api/broadcast", json=body)
    assert (response.status_code, response.json()) == (429, {"message": "Too many requests"})
    assert (await client.join("realtime:again"))["status"] == "ok"


@pytest.mark.parametrize("project", [RealtimeConfig(max_events_per_second=5)], indirect=True)
async def test_changes_over_the_limit_are_discarded_silently(project: Project) -> None:
    await project.db.execute(
        "create table t (id int primary key); grant select on t to anon;"
        "alter publication supabase_realtime add table t"
    )
    client = await project.listening({"event": "INSERT", "schema": "public", "table": "t"})
    number = 0
    while number < 2_000:
        number += 1
        await project.db.execute("insert into t values ($1)", number)
    await client.fence()
    assert 0 < len(client.pending("postgres_changes")) < number
    assert client.pending("system") == []


@pytest.mark.parametrize(
    "project",
    [RealtimeConfig(max_presence_events_per_second=20, presence_calls=None)],
    indirect=True,
)
async def test_too_many_presence_messages_end_the_channel(project: Project) -> None:
    client = await project.joined("realtime:r")
    payload = {"event": "untrack"}
    word = await until_system(project, client, event="presence", payload=payload)
    assert word["message"] == "Too many presence messages per second"


@pytest.mark.parametrize("project", [RealtimeConfig(max_joins_per_second=20)], indirect=True)
async def test_too_many_joins_close_the_socket_and_refuse_connections(project: Project) -> None:
    client = await project.connect()
    reply: Any = {"status": "ok"}
    while reply["status"] == "ok":
        reply = await client.join("realtime:r")
    assert reply["response"]["reason"] == "ClientJoinRateLimitReached: Too many joins per second"
    assert await client.closed() == 1001


@pytest.mark.parametrize("project", [RealtimeConfig(max_concurrent_users=2)], indirect=True)
async def test_sockets_with_channels_are_the_users_that_are_counted(project: Project) -> None:
    first = await project.joined("realtime:r")
    waiting, late = await project.connect(), await project.connect()
    assert (await waiting.join("realtime:r"))["status"] == "ok"
    reply = await late.join("realtime:r")
    assert reply["response"]["reason"] == "ConnectionRateLimitReached: Too many connected users"
    assert (await first.join("realtime:more"))["status"] == "ok"  # counted already
    with pytest.raises(InvalidStatus) as caught:
        await connect(project.url(apikey=project.keys.anon))
    assert caught.value.response.status_code == 429
    await first.close()
    await project.connect()  # a place is free again


async def test_nothing_is_limited_by_default(project: Project) -> None:
    client = await project.joined("realtime:r", broadcast={"ack": True})
    for _ in range(300):
        assert (await client.call("realtime:r", "broadcast", MESSAGE))["status"] == "ok"
