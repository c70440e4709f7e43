"""Whatever a client sends, the server neither dies nor hangs, and other clients notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from tests.spec.realtime.harness import Project, RawClient, running_project

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
TOPICS = st.sampled_from(["realtime:a", "realtime:b", "realtime:", "phoenix", "x"]) | st.text()
EVENTS = st.sampled_from(
    ["phx_join", "phx_leave", "heartbeat", "broadcast", "presence", "access_token", "system"]
)
BINDINGS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "event": st.sampled_from(["*", "insert", "x"]) | JSON,
            "schema": st.sampled_from(["public", "*", "%"]) | JSON,
            "table": st.sampled_from(["t", "*", "_", "'; drop table t; --"]) | JSON,
            "filter": st.sampled_from(["id=eq.1", "id=in.(1", "id=eq.'"]) | st.text() | JSON,
            "select": JSON,
        },
    )
    | JSON,
    max_size=3,
)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "private": JSON,
        "broadcast": st.fixed_dictionaries({}, optional={"ack": JSON, "self": JSON, "replay": JSON})
        | JSON,
        "presence": st.fixed_dictionaries({}, optional={"key": JSON, "enabled": JSON}) | JSON,
        "postgres_changes": BINDINGS,
    },
)
PAYLOADS = (
    JSON
    | st.fixed_dictionaries({"config": CONFIGS | JSON}, optional={"access_token": JSON})
    | st.fixed_dictionaries(
        {"event": st.sampled_from(["track", "untrack", "e"]) | JSON}, optional={"payload": JSON}
    )
)
REFS = st.none() | st.sampled_from(["1", "2"]) | JSON


def render(version: str, parts: tuple[Any, ...]) -> str:
    topic, event, payload, ref, join_ref = parts
    if version == "2.0.0":
        return json.dumps([join_ref, ref, topic, event, payload])
    return json.dumps(
        {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
    )


MESSAGES = st.tuples(TOPICS | JSON, EVENTS | JSON, PAYLOADS, REFS, REFS)
BINARY = st.binary(max_size=80) | st.tuples(
    st.sampled_from([0, 3, 4, 9]), st.lists(st.integers(0, 12), min_size=6, max_size=6), st.binary()
).map(lambda t: bytes([t[0], *t[1]]) + t[2])
FRAMES = st.lists(
    MESSAGES | st.text(max_size=60) | st.builds(json.dumps, JSON) | BINARY, min_size=1, max_size=8
)


async def play(project: Project, version: str, frames: list[Any], witness: RawClient) -> None:
    """Send frames on a new socket; it must answer a heartbeat after them, and so must another."""
    client = await project.connect(version)
    for frame in frames:
        data = render(version, frame) if isinstance(frame, tuple) else frame
        with contextlib.suppress(UnicodeEncodeError):  # not text that a WebSocket could carry
            await client.connection.send(data)
    await client.fence()
    await witness.fence()
    assert witness.frames == []
    client.dropped.clear()  # answers echo what was sent, however odd
    await client.close()
    project.clients.remove(client)


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
def test_no_sequence_of_frames_stops_the_server(bare_database: Any, version: str) -> None:
    loop = asyncio.new_event_loop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        context = running_project(bare_database.admin_url, bare_database.url)
        project = runner.run(context.__aenter__())
        runner.run(project.db.execute("create table t (id int primary key)"))
        runner.run(project.db.execute("alter publication supabase_realtime add table t"))
        witness = runner.run(project.joined("realtime:witness"))

        @settings(
            max_examples=60,
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        @given(FRAMES)
        def check(frames: list[Any]) -> None:
            runner.run(play(project, version, frames, witness))

        check()
        tables = runner.run(project.db.fetchval("select to_regclass('public.t') is not null"))
        runner.run(context.__aexit__(None, None, None))
    assert tables


async def test_large_and_deep_frames_are_survived(project: Project) -> None:
    """Just under the limit, over it, and nested beyond reason."""
    witness = await project.joined("realtime:witness")
    client = await project.joined("realtime:a", broadcast={"ack": True})
    whole = {"topic": "realtime:a", "event": "broadcast", "ref": "big", "join_ref": "1"}
    text = json.dumps({**whole, "payload": {"event": "e", "payload": "x" * 4_990_000}})
    assert 4_990_000 < len(text) <= 5_000_000
    await client.connection.send(text)
    assert (await client.reply("big"))["payload"]["response"] == "payload_size_exceeded"
    await client.connection.send("[" * 4_000_000)
    await client.connection.send('{"a":' * 1_000_000)
    await client.connection.send("not json" * 600_000)
    await client.fence()
    with contextlib.suppress(ConnectionClosed):
        await client.connection.send("x" * 5_000_001)
    assert await client.closed() == 1009
    await witness.fence()
    assert witness.frames == []
