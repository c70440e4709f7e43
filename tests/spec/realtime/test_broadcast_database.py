"""Broadcasts sent from SQL reach the channels they name, after commit."""

from __future__ import annotations

import asyncpg
import pytest

from tests.spec.realtime.harness import Project


@pytest.mark.spec("RT-86")
async def test_sql_send_reaches_public_channel_with_the_row_id_after_commit(
    project: Project,
) -> None:
    """meta.id and payload.id are the id of the stored row."""
    client = await project.joined("realtime:room")
    await project.db.execute("select realtime.send('{\"a\": 1}', 'e', 'room', false)")
    payload = (await client.event("broadcast"))["payload"]
    row_id = await project.db.fetchval("select id::text from realtime.messages")
    assert payload == {
        "type": "broadcast",
        "event": "e",
        "meta": {"id": row_id},
        "payload": {"a": 1, "id": row_id},
    }


@pytest.mark.spec("RT-86")
async def test_sql_send_that_is_rolled_back_reaches_nobody(project: Project) -> None:
    """The next committed message is the first to arrive."""
    client = await project.joined("realtime:room")
    transaction = project.db.transaction()
    await transaction.start()
    await project.db.execute("select realtime.send('{}', 'lost', 'room', false)")
    await transaction.rollback()
    await project.db.execute("select realtime.send('{}', 'kept', 'room', false)")
    assert (await client.event("broadcast"))["payload"]["event"] == "kept"
    await project.fence(client)
    assert client.pending("broadcast") == []


@pytest.mark.spec("RT-87")
async def test_sql_send_is_private_by_default(project: Project) -> None:
    """A public channel of the same name hears nothing."""
    await project.db.execute(
        "create policy r on realtime.messages for select to authenticated using (true)"
    )
    public = await project.joined("realtime:room")
    private = await project.joined("realtime:room", token=project.token(), private=True)
    await project.db.execute("select realtime.send('{}', 'e', 'room')")
    await project.db.execute("select realtime.send('{}', 'end', 'room', false)")
    assert (await private.event("broadcast"))["payload"]["event"] == "e"
    assert (await public.event("broadcast"))["payload"]["event"] == "end"
    await project.fence(public, private)
    assert public.frames == private.frames == []


@pytest.mark.spec("RT-88")
async def test_an_array_payload_is_a_warning_and_nothing_is_sent(project: Project) -> None:
    """The caller's transaction goes on."""
    warnings: list[str] = []
    project.db.add_log_listener(lambda _connection, message: warnings.append(message.message))
    await project.db.execute("select realtime.send('[1]', 'e', 'room', false)")
    assert await project.db.fetchval("select count(*) from realtime.messages") == 0
    assert len(warnings) == 1
    assert warnings[0].startswith("WarnSendingBroadcastMessage: ")


@pytest.mark.spec("RT-89")
async def test_the_topic_setting_lasts_for_the_transaction(project: Project) -> None:
    """The next transaction sees null."""
    async with project.db.transaction():
        await project.db.execute("select realtime.send('{}', 'e', 'room')")
        assert await project.db.fetchval("select realtime.topic()") == "room"
    assert await project.db.fetchval("select realtime.topic()") is None


@pytest.mark.spec("RT-90")
async def test_broadcast_changes_tells_what_a_trigger_saw(project: Project) -> None:
    """Insert has no old record, delete no new one; a statement trigger is refused."""
    await project.db.execute(
        """
        create policy r on realtime.messages for select to authenticated using (true);
        create table notes (id int primary key, body text);
        create function tell() returns trigger language plpgsql security definer as $$
        begin
            perform realtime.broadcast_changes(
                'notes', tg_op, tg_op, tg_table_name, tg_table_schema, new, old);
            return null;
        end $$;
        create trigger tell after insert or update or delete on notes
            for each row execute function tell();
        """
    )
    client = await project.joined("realtime:notes", token=project.token(), private=True)
    await project.db.execute(
        "insert into notes values (1, 'a'); update notes set body = 'b'; delete from notes"
    )
    seen = [(await client.event("broadcast"))["payload"] for _ in range(3)]
    for message in seen:
        assert message["payload"].pop("id") == message["meta"]["id"]
    first, second = {"id": 1, "body": "a"}, {"id": 1, "body": "b"}
    place = {"table": "notes", "schema": "public"}
    assert [message["payload"] for message in seen] == [
        {"operation": "INSERT", "record": first, "old_record": None, **place},
        {"operation": "UPDATE", "record": second, "old_record": first, **place},
        {"operation": "DELETE", "record": None, "old_record": second, **place},
    ]
    with pytest.raises(asyncpg.RaiseError, match="Failed to process the row: "):
        await project.db.execute(
            "select realtime.broadcast_changes("
            "'t', 'e', 'INSERT', 't', 's', null, null, 'STATEMENT')"
        )


@pytest.mark.spec("RT-91")
async def test_replay_is_refused_on_a_public_channel(project: Project) -> None:
    """Even a null value of the key counts."""
    client = await project.connect()
    for value in ({"since": 0}, None):
        reply = await client.join("realtime:room", broadcast={"replay": value})
        assert reply["response"]["reason"] == (
            "UnableToReplayMessages: Replay is not allowed for public channels"
        )


@pytest.mark.spec("RT-92")
@pytest.mark.spec("RT-93")
@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
async def test_replay_sends_the_newest_oldest_first(project: Project, version: str) -> None:
    """At most 25; without since it is refused."""
    await project.db.execute(
        "create policy r on realtime.messages for select to authenticated using (true)"
    )
    for number in range(30):
        await project.db.execute(
            "select realtime.send($1::jsonb, 'e', 'room')", f'{{"id": {number}}}'
        )
    client = await project.connect(version)

    async def replay(topic_options: dict[str, int]) -> list[int]:
        reply = await client.join(
            "realtime:room",
            token=project.token(),
            private=True,
            broadcast={"replay": topic_options},
        )
        assert reply["status"] == "ok"
        await client.fence()
        frames = client.pending("broadcast")
        client.frames.clear()
        assert all(frame["payload"]["meta"]["replayed"] is True for frame in frames)
        return [frame["payload"]["payload"]["id"] for frame in frames]

    assert await replay({"since": 0, "limit": 2}) == [28, 29]
    assert await replay({"since": 0, "limit": 100}) == list(range(5, 30))
    reply = await client.join(
        "realtime:room", token=project.token(), private=True, broadcast={"replay": {"limit": 2}}
    )
    assert reply["response"]["reason"] == "UnableToReplayMessages: Replay params are not valid"


@pytest.mark.spec("RT-94")
async def test_replication_readiness_is_told_once_when_asked_for(project: Project) -> None:
    """One ``system`` ok frame of the extension ``system``."""
    client = await project.joined("realtime:room", broadcast={"replication_ready": True})
    system = await client.system()
    assert (system["extension"], system["status"], system["message"]) == (
        "system",
        "ok",
        "Replication connection established",
    )
    await client.fence()
    assert client.frames == []
