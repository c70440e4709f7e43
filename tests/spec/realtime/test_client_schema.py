"""Every kind of frame passes the message models of the installed Python client.

The harness checks every frame of every test; here each kind is made to occur.
"""

from __future__ import annotations

import pytest

from tests.spec.realtime.harness import Project, is_known_to_be_dropped, passes_the_python_client

KINDS = {
    "phx_reply ok",
    "phx_reply error",
    "phx_close",
    "phx_error",
    "system ok",
    "system error",
    "broadcast",
    "presence_state",
    "presence_diff",
    "postgres_changes",
}


@pytest.mark.spec("RT-115")
async def test_each_kind_of_frame_is_taken_by_the_python_client(project: Project) -> None:
    await project.db.execute(
        "create table t (id int primary key); grant select on t to anon;"
        "alter publication supabase_realtime add table t"
    )
    bindings = [{"event": "*", "schema": "public", "table": "t"}]
    client = await project.listening(
        bindings[0], presence={"enabled": True}, broadcast={"self": True, "ack": True}
    )
    topic = "realtime:changes"
    await project.db.execute("insert into t values (1); update t set id = 2; delete from t")
    for _ in range(3):
        await client.change()
    message = {"type": "broadcast", "event": "e", "payload": {}}
    await client.call(topic, "broadcast", message)
    await client.call(topic, "presence", {"event": "track", "payload": {"a": 1}})
    await client.call(topic, "presence", {"event": "untrack"})
    await project.db.execute("select realtime.send('{\"a\": 1}', 'e', 'changes', false)")
    await client.join("realtime:private", private=True)
    missing = [{"event": "*", "schema": "public", "table": "missing"}]
    await client.join("realtime:missing", postgres_changes=missing)
    await client.frame(lambda f: f["event"] == "system" and f["payload"]["status"] == "error")
    await client.join("realtime:crash")
    await project.joined("realtime:crash", "2.0.0")
    await client.send("realtime:crash", "broadcast", [])
    await client.event("phx_error")
    await client.send(topic, "access_token", {"access_token": ""})
    await client.event("phx_close")
    await project.fence(client)
    assert client.kinds == KINDS
    assert client.dropped == []


@pytest.mark.parametrize(
    "frame",
    [
        '{"topic":"t","event":"system","payload":{"status":"ok","message":"m"},"ref":null}',
        '{"topic":"t","event":"broadcast","payload":{"event":"e","payload":{}},"ref":"1"}',
        '{"topic":"t","event":"phx_reply","payload":{"status":"ok"},"ref":"1"}',
    ],
)
def test_the_check_itself_notices_a_bad_frame(frame: str) -> None:
    assert passes_the_python_client(frame) is not None


def test_exceptions_are_narrow() -> None:
    good = {"event": "e", "payload": {}, "type": "broadcast"}
    assert not is_known_to_be_dropped({"event": "broadcast", "payload": good, "ref": None})
    assert not is_known_to_be_dropped({"event": "phx_close", "payload": {}, "ref": "1"})
