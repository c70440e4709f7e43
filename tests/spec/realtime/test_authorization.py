"""Private channels and the life of tokens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.spec.realtime.harness import A, B, Project

OWN = "realtime.topic() = 'user:' || (select auth.uid())::text"
MESSAGE = {"type": "broadcast", "event": "e", "payload": {}}


@pytest.mark.spec("RT-106")
async def test_a_private_join_without_policy_is_refused(project: Project) -> None:
    client = await project.connect()
    reply = await client.join("realtime:room", token=project.token(), private=True)
    assert reply["response"]["reason"] == (
        "Unauthorized: You do not have permissions to read from this Channel topic: room"
    )


@pytest.mark.spec("RT-107")
async def test_policies_see_topic_user_and_extension_and_no_row_remains(project: Project) -> None:
    await project.db.execute(
        "create policy r on realtime.messages for select to authenticated using "
        f"({OWN} and extension = 'broadcast')"
    )
    client = await project.connect()
    own = await client.join(f"realtime:user:{A}", token=project.token(A), private=True)
    assert own["status"] == "ok"
    other = await client.join(f"realtime:user:{A}", token=project.token(B), private=True)
    assert other["status"] == "error"
    assert await project.db.fetchval("select count(*) from realtime.messages") == 0


@pytest.mark.spec("RT-108")
async def test_presence_only_members_hear_no_broadcasts(project: Project) -> None:
    await project.db.execute(
        "create policy r on realtime.messages for select to authenticated "
        "using (extension = 'presence')"
    )
    client = await project.connect()
    options: dict[str, Any] = {"token": project.token(), "private": True}
    assert (await client.join("realtime:room", **options))["status"] == "error"
    reply = await client.join("realtime:room", presence={"enabled": True}, **options)
    assert reply["status"] == "ok"
    await client.event("presence_state")
    await project.db.execute("select realtime.send('{}', 'e', 'room')")
    await project.fence(client)
    assert client.pending("broadcast") == []


@pytest.mark.spec("RT-109")
async def test_a_lost_policy_counts_at_the_next_token(project: Project) -> None:
    await project.db.execute(
        "create policy r on realtime.messages for select to authenticated using (true)"
    )
    client = await project.joined("realtime:room", token=project.token(), private=True)
    await project.db.execute("drop policy r on realtime.messages")
    await project.db.execute("select realtime.send('{}', 'e', 'room')")
    await client.event("broadcast")
    fresh = {"access_token": project.token(lifetime_s=7200)}
    await client.send("realtime:room", "access_token", fresh)
    system = await client.system()
    assert (system["extension"], system["status"]) == ("system", "error")
    assert system["message"] == (
        "You do not have permissions to read from this Channel topic: room"
    )
    await client.event("phx_close")


@pytest.mark.spec("RT-110")
async def test_a_new_token_brings_new_claims_to_table_changes(project: Project) -> None:
    await project.db.execute(
        "create table t (id int primary key, owner uuid); alter table t enable row level security;"
        "create policy own on t for select to authenticated using ((select auth.uid()) = owner);"
        "grant select on t to authenticated; alter publication supabase_realtime add table t"
    )
    client = await project.listening({"schema": "public", "table": "t"}, token=project.token(A))
    await client.send("realtime:changes", "access_token", {"access_token": project.token(B)})
    assert (await client.system())["message"] == "Subscribed to PostgreSQL"
    await project.db.execute(f"insert into t values (1, '{A}'), (2, '{B}')")
    assert (await client.change())["data"]["record"]["id"] == 2


@pytest.mark.spec("RT-111")
async def test_equal_null_and_sb_tokens_are_ignored_and_an_empty_one_ends_the_channel(
    project: Project,
) -> None:
    token = project.token()
    client = await project.joined("realtime:room", token=token)
    for value in (token, None, "sb_x", 5):
        await client.send("realtime:room", "access_token", {"access_token": value})
    await client.fence()
    assert client.frames == []
    await client.send("realtime:room", "access_token", {"access_token": ""})
    assert (await client.system())["message"] == "The token provided is not a valid JWT"
    assert (await client.event("phx_close"))["ref"] == "1"


@pytest.mark.spec("RT-112")
async def test_a_channel_ends_when_its_token_does_and_the_socket_stays(project: Project) -> None:
    client = await project.joined("realtime:room", token=project.token(lifetime_s=2))
    system = await client.system()
    assert system["message"].startswith("Token has expired ")
    await client.event("phx_close")
    await client.fence()


@pytest.mark.spec("RT-113")
async def test_an_unknown_role_may_nothing(project: Project) -> None:
    await project.db.execute(
        "create table t (id int primary key); alter publication supabase_realtime add table t"
    )
    token = project.token(role="nobody_role")
    client = await project.connect()
    reply = await client.join("realtime:room", token=token, private=True)
    assert reply["response"]["reason"].startswith("Unauthorized: ")
    binding = {"event": "*", "schema": "public", "table": "t"}
    await client.join("realtime:open", token=token, postgres_changes=[binding])
    system = await client.system()
    assert system["status"] == "error"
    assert system["message"].endswith(
        'Exception: ERROR 42704 (undefined_object) role "nobody_role" does not exist'
    )


@pytest.mark.spec("RT-114")
async def test_stop_closes_sockets_with_1012(project: Project) -> None:
    client = await project.joined("realtime:room")
    await project.server.stop()
    assert await client.closed() == 1012
