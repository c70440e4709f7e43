"""What happens when PostgreSQL, a look-up or a client fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from local_stack.folder import load_passwords, make_ephemeral
from local_stack.ports import free_port
from local_stack.postgres.bootstrap import apply_bootstrap
from local_stack.postgres.cluster import Cluster, ClusterConfig
from local_stack.realtime import RealtimeConfig
from tests.spec.realtime.harness import A, B, Project, running_project

TABLE = (
    "create table t (id int primary key, owner uuid, note text);"
    "alter table t enable row level security;"
    "create policy own on t for select to authenticated using ((select auth.uid()) = owner);"
    "grant select on t to authenticated;"
    "alter publication supabase_realtime add table t"
)
HOSTILE = r"note=match.^(x+)(x+)(x+)(x+)\1\2\3\4y$"
ON_T = {"event": "*", "schema": "public", "table": "t"}


@pytest.fixture
async def own_cluster() -> AsyncIterator[Cluster]:
    """A bootstrapped PostgreSQL of this test's own, which it may kill."""
    folder = make_ephemeral()
    passwords = load_passwords(folder)
    port = free_port()  # 0 would be another one after the restart
    config = ClusterConfig(
        folder / "postgres", passwords["supabase_admin"], durable=False, port=port
    )
    cluster = Cluster(config)
    try:
        await cluster.start()
        await apply_bootstrap(cluster.admin_dsn(), passwords)
        yield cluster
    finally:
        await cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_a_restart_of_postgresql_is_told_and_survived(
    own_cluster: Cluster, how: signal.Signals
) -> None:
    """Sockets stay; every channel with table changes is told to take stock; changes go on."""
    config = RealtimeConfig(database_timeout_s=3, delivery_timeout_s=2, subscribe_retry_s=0.1)
    admin_url = own_cluster.admin_dsn()
    async with running_project(admin_url, admin_url, config) as project:
        await project.db.execute(TABLE)
        watching = await project.listening(ON_T, token=project.token(A))
        talking = await project.joined("realtime:room", broadcast={"ack": True})
        pid = own_cluster.pid
        assert pid is not None
        os.kill(pid, how)
        await own_cluster.wait_ended()
        message = {"type": "broadcast", "event": "e", "payload": {}}
        assert (await talking.call("realtime:room", "broadcast", message))["status"] == "ok"
        private = await talking.join("realtime:private", token=project.token(), private=True)
        assert private["response"]["reason"] == (
            "UnableToConnectToProject: Realtime was unable to connect to the project database"
        )
        await own_cluster.start()
        assert (await watching.system(20))["message"] == "Subscribed to PostgreSQL"
        project.db.terminate()
        project.db = await asyncpg.connect(admin_url)
        await project.db.execute(f"insert into t values (1, '{A}'), (2, '{B}'), (3, '{A}')")
        seen = [(await watching.change())["data"]["record"]["id"] for _ in range(2)]
        assert seen == [1, 3]
        await project.db.execute("select realtime.send('{}', 'e', 'room', false)")
        await talking.event("broadcast")


@pytest.fixture
async def tables(bare_database: Any, request: pytest.FixtureRequest) -> Any:
    config = getattr(request, "param", None) or RealtimeConfig()
    async with running_project(bare_database.admin_url, bare_database.url, config) as project:
        await project.db.execute(TABLE)
        yield project


async def terminate(admin_url: str, application: str) -> int:
    admin = await asyncpg.connect(admin_url)
    try:
        rows = await admin.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name = $1 and datname = current_database()",
            application,
        )
    finally:
        await admin.close()
    return len(rows)


async def test_a_look_up_whose_connection_is_lost_is_made_again(
    tables: Project, bare_database: Any
) -> None:
    """The stream stays up, so nothing else would tell the client; the change must not be lost."""
    client = await tables.listening(ON_T, token=tables.token(A))
    await tables.db.execute(f"insert into t values (1, '{A}')")
    await client.change()
    assert await terminate(bare_database.admin_url, "realtime") > 0
    await tables.db.execute(f"insert into t values (2, '{A}')")
    assert (await client.change())["data"]["record"]["id"] == 2


async def test_a_lost_stream_is_opened_again_and_told(tables: Project, bare_database: Any) -> None:
    client = await tables.listening(ON_T, token=tables.token(A))
    assert await terminate(bare_database.admin_url, "realtime-replication") == 1
    assert (await client.system())["message"] == "Subscribed to PostgreSQL"
    await tables.db.execute(f"insert into t values (1, '{A}')")
    await client.change()


@pytest.mark.parametrize("tables", [RealtimeConfig(delivery_timeout_s=0.3)], indirect=True)
async def test_a_look_up_that_takes_too_long_costs_one_change(tables: Project) -> None:
    """A policy that hangs on one row does not stop the rows behind it, nor broadcasts."""
    await tables.db.execute(
        "drop policy own on t; create policy own on t for select to authenticated using "
        "(case when note = 'slow' then pg_sleep(30) is null else true end)"
    )
    client = await tables.listening(ON_T, token=tables.token(A))
    await tables.db.execute(f"insert into t values (1, '{A}', 'slow'), (2, '{A}', 'quick')")
    assert (await client.change())["data"]["record"]["id"] == 2


async def test_a_filter_that_takes_for_ever_stops_only_itself(
    tables: Project, caplog: pytest.LogCaptureFixture
) -> None:
    """A pattern with exponential cost: its subscriber hears nothing, the others everything."""
    token = tables.token(A)
    hostile = await tables.listening({**ON_T, "filter": HOSTILE}, token=token)
    pattern = await tables.listening({**ON_T, "filter": "note=match.^x"}, token=token)
    plain = await tables.listening(ON_T, token=token)
    await tables.db.execute(f"insert into t values (1, '{A}', repeat('x', 401) || 'y')")
    for client in (pattern, plain):
        assert (await client.change())["data"]["record"]["id"] == 1
    await tables.db.execute(f"insert into t values (2, '{A}', 'xy')")
    for client in (pattern, plain):
        assert (await client.change())["data"]["record"]["id"] == 2
    await tables.fence(hostile)
    assert hostile.frames == []
    assert "takes too long" in caplog.text  # the pattern was as slow as it is meant to be


@pytest.mark.parametrize(
    "tables", [RealtimeConfig(max_queued_changes=10, max_queued_change_bytes=10_000)], indirect=True
)
async def test_a_full_backlog_pauses_the_stream_and_loses_nothing(tables: Project) -> None:
    client = await tables.listening(ON_T, token=tables.token(A))
    async with tables.db.transaction():
        await tables.db.execute(
            f"insert into t select g, '{A}', repeat('x', 500) from generate_series(1, 400) g"
        )
    seen = [(await client.change())["data"]["record"]["id"] for _ in range(400)]
    assert seen == list(range(1, 401))


@pytest.mark.parametrize("tables", [RealtimeConfig(max_queued_bytes=300_000)], indirect=True)
async def test_a_client_that_does_not_read_is_dropped_and_others_go_on(tables: Project) -> None:
    deaf = await tables.joined("realtime:room")
    deaf.connection.transport.pause_reading()
    sender = await tables.joined("realtime:room", broadcast={"ack": True})
    hearing = await tables.joined("realtime:room")
    message = {"type": "broadcast", "event": "e", "payload": {"x": "x" * 200_000}}
    before = tables.server.socket_count
    for _ in range(60):
        reply = await sender.call("realtime:room", "broadcast", message)
        assert reply["status"] == "ok"
        await hearing.event("broadcast")
    assert tables.server.socket_count == before - 1
    deaf.connection.transport.abort()


async def test_stopping_does_not_wait_for_a_client_that_does_not_read(tables: Project) -> None:
    deaf = await tables.joined("realtime:room")
    deaf.connection.transport.pause_reading()
    sender = await tables.joined("realtime:room", broadcast={"ack": True})
    message = {"type": "broadcast", "event": "e", "payload": {"x": "x" * 1_000_000}}
    for _ in range(12):
        await sender.call("realtime:room", "broadcast", message)
    async with asyncio.timeout(8):
        await tables.server.stop()
    assert tables.server.socket_count == 0
    deaf.connection.transport.abort()


async def test_changes_that_wait_together_are_judged_row_by_row(tables: Project) -> None:
    """One transaction, many rows, odd keys: each reader gets its own in order, but a row on which
    the policy raises."""
    await tables.db.execute(
        "create table odd (word text, n int, owner uuid, primary key (word, n));"
        "alter table odd enable row level security;"
        "create policy own on odd for select to authenticated using "
        "(1 / (case when n = 7 then 0 else 1 end) = 1 and (select auth.uid()) = owner);"
        "grant select on odd to authenticated;"
        "alter publication supabase_realtime add table odd"
    )
    on_odd = {"event": "*", "schema": "public", "table": "odd"}
    readers = {who: await tables.listening(on_odd, token=tables.token(who)) for who in (A, B)}
    words = ["plain", "it's", 'a "b"', "c\\d", "{x,y}", "", "NULL", "ü, ß"]
    rows = [(words[n % len(words)], n, A if n % 3 else B) for n in range(40)]
    async with tables.db.transaction():
        await tables.db.executemany("insert into odd values ($1, $2, $3)", rows)
        await tables.db.execute("update odd set owner = owner where n = 39")
    for who, reader in readers.items():
        wanted = [(word, n) for word, n, owner in rows if owner == who and n != 7]
        got = [(await reader.change())["data"]["record"] for _ in wanted]
        assert [(row["word"], row["n"]) for row in got] == wanted
    assert (await readers[B].change())["data"]["type"] == "UPDATE"
    await tables.fence(*readers.values())
    assert all(reader.pending("postgres_changes") == [] for reader in readers.values())
