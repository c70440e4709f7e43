"""The unmodified ``realtime`` client against the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from realtime import AsyncRealtimeClient, RealtimePostgresChangesListenEvent

from tests.spec.realtime.harness import A, B, Project, running_project
from tests.support.waiting import eventually


@pytest.fixture
async def project(bare_database: Any) -> AsyncIterator[Project]:
    async with running_project(bare_database.admin_url, bare_database.url) as running:
        yield running


@asynccontextmanager
async def official_client(project: Project, token: str | None = None) -> AsyncIterator[Any]:
    before = asyncio.all_tasks()
    client = AsyncRealtimeClient(project.ws_url, token=project.keys.anon)
    await client.connect()
    if token is not None:
        await client.set_auth(token)
    try:
        yield client
    finally:
        await client.close()
        # The client leaves its timers running for up to ten seconds.
        mine = [task for task in asyncio.all_tasks() - before if is_of_client(task)]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)


def is_of_client(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and "realtime/_async" in code.co_filename


async def subscribe(channel: Any) -> str:
    states: asyncio.Queue[tuple[Any, Any]] = asyncio.Queue()
    await channel.subscribe(lambda state, error: states.put_nowait((state, error)))
    state, error = await asyncio.wait_for(states.get(), 5)
    return f"{state.value} {error}" if error else state.value


async def test_broadcast_between_two_clients(project: Project) -> None:
    async with official_client(project) as one, official_client(project) as two:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        receiver = two.channel("room").on_broadcast("shout", heard.put_nowait)
        assert await subscribe(receiver) == "SUBSCRIBED"
        sender = one.channel("room")
        assert await subscribe(sender) == "SUBSCRIBED"
        await sender.send_broadcast("shout", {"text": "hi"})
        message = await asyncio.wait_for(heard.get(), 5)
        assert message["payload"] == {"text": "hi"}
        await project.db.execute("select realtime.send('{\"n\": 1}', 'shout', 'room', false)")
        message = await asyncio.wait_for(heard.get(), 5)
        assert message["payload"]["n"] == 1


async def test_presence_is_tracked_and_seen(project: Project) -> None:
    async with official_client(project) as one, official_client(project) as two:
        joined: asyncio.Queue[Any] = asyncio.Queue()
        watcher = two.channel("lobby")
        watcher.on_presence_join(lambda key, _old, new: joined.put_nowait((key, new)))
        assert await subscribe(watcher) == "SUBSCRIBED"
        tracker = one.channel("lobby", {"config": {"presence": {"key": "jo", "enabled": True}}})
        assert await subscribe(tracker) == "SUBSCRIBED"
        await tracker.track({"name": "Jo"})
        key, new = await asyncio.wait_for(joined.get(), 5)
        assert key == "jo"
        assert new[0]["name"] == "Jo"


async def test_postgres_changes_follow_row_security(project: Project) -> None:
    await project.db.execute(
        "create table todos (id int primary key, owner uuid);"
        "alter table todos enable row level security;"
        "create policy own on todos for select to authenticated "
        "using ((select auth.uid()) = owner);"
        "grant select on todos to authenticated;"
        "alter publication supabase_realtime add table todos"
    )
    async with official_client(project, project.token(A)) as client:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        live: asyncio.Queue[Any] = asyncio.Queue()
        channel = client.channel("todos").on_system(live.put_nowait)
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.All, heard.put_nowait, table="todos"
        )
        assert await subscribe(channel) == "SUBSCRIBED"
        await asyncio.wait_for(live.get(), 5)
        await project.db.execute(f"insert into todos values (1, '{B}'), (2, '{A}')")
        change = await asyncio.wait_for(heard.get(), 5)
        assert change["data"]["record"] == {"id": 2, "owner": A}


async def test_a_private_join_without_policy_is_a_channel_error(project: Project) -> None:
    async with official_client(project, project.token(A)) as client:
        channel = client.channel("secret", {"config": {"private": True}})
        outcome = await subscribe(channel)
        assert outcome.startswith("CHANNEL_ERROR")
        assert "Unauthorized" in outcome


# The client asks websockets for a deprecated attribute, and the warning would end its only task.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.spec("RT-114")
@pytest.mark.spec("RT-116")
async def test_the_client_reconnects_and_what_it_missed_stays_missed(project: Project) -> None:
    """After a restart of the socket: rejoined, presence and subscription anew, no replay."""
    await project.db.execute(
        "create table items (id int primary key); grant select on items to anon;"
        "alter publication supabase_realtime add table items"
    )
    async with official_client(project) as client:
        changes: asyncio.Queue[Any] = asyncio.Queue()
        words: asyncio.Queue[Any] = asyncio.Queue()
        other = await project.joined("realtime:items", presence={"enabled": True, "key": "o"})
        await other.call("realtime:items", "presence", {"event": "track", "payload": {"n": 1}})
        channel = client.channel("items", {"config": {"presence": {"enabled": True, "key": "k"}}})
        channel.on_system(words.put_nowait)
        channel.on_presence_sync(lambda: None)
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.Insert, changes.put_nowait, table="items"
        )
        assert await subscribe(channel) == "SUBSCRIBED"
        await asyncio.wait_for(words.get(), 5)
        await eventually(lambda: list(channel.presence.state) == ["o"])
        await project.db.execute("insert into items values (1)")
        assert (await asyncio.wait_for(changes.get(), 5))["data"]["record"] == {"id": 1}
        project.faults.refuse_connects = 503
        project.server.drop_sockets(1012)
        assert await other.closed() == 1012
        await eventually(lambda: project.server.socket_count == 0)
        await project.db.execute("insert into items values (2)")
        project.faults.refuse_connects = None
        await asyncio.wait_for(words.get(), 20)
        again = await project.joined("realtime:items", presence={"enabled": True, "key": "p"})
        await again.call("realtime:items", "presence", {"event": "track", "payload": {"n": 2}})
        await eventually(lambda: list(channel.presence.state) == ["p"])
        await project.db.execute("insert into items values (3)")
        assert (await asyncio.wait_for(changes.get(), 5))["data"]["record"] == {"id": 3}
        assert changes.empty()
