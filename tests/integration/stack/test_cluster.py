"""One PostgreSQL server: made, started, killed, started again."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import asyncpg
import pytest

from local_stack.errors import (
    DamagedDataError,
    DataVersionError,
    PortTakenError,
    PostgresStartError,
)
from local_stack.postgres.account import is_root
from local_stack.postgres.binaries import copied_install, find_binaries, wheel_install
from local_stack.postgres.cluster import Cluster, ClusterConfig
from tests.support.stack_folders import CLUSTER_PASSWORD
from tests.support.waiting import eventually


def cluster_in(folder: Path, **options: object) -> Cluster:
    return Cluster(ClusterConfig(folder / "postgres", CLUSTER_PASSWORD, durable=False, **options))


async def ask(cluster: Cluster, sql: str) -> object:
    connection = await asyncpg.connect(cluster.admin_dsn())
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_a_new_cluster_answers_over_tcp_only_and_decodes_logically(home: Path) -> None:
    """Settings that the stack depends on hold, no unix socket exists, nobody is trusted."""
    async with cluster_in(home) as cluster:
        assert cluster.is_new
        assert await ask(cluster, "show wal_level") == "logical"
        assert await ask(cluster, "show listen_addresses") == "127.0.0.1"
        assert await ask(cluster, "show unix_socket_directories") == ""
        assert await ask(cluster, "show server_encoding") == "UTF8"
        assert await ask(cluster, "select upper('ä')") == "Ä"
        assert await ask(cluster, "show password_encryption") == "scram-sha-256"
        methods = "select string_agg(distinct auth_method, ',') from pg_hba_file_rules"
        assert await ask(cluster, methods) == "scram-sha-256"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(cluster.dsn("supabase_admin", "guess"))
    assert cluster.pid is None


async def test_data_is_there_after_a_second_start(made_cluster: Path) -> None:
    """A stopped cluster starts again with what was committed."""
    async with cluster_in(made_cluster) as cluster:
        await ask(cluster, "create table kept as select 7 as n")
    async with cluster_in(made_cluster) as cluster:
        assert not cluster.is_new
        assert await ask(cluster, "select n from kept") == 7


async def test_the_server_runs_as_an_ordinary_account(made_cluster: Path) -> None:
    """Also when root starts it; and nothing outside of its data folder changes owner."""
    async with cluster_in(made_cluster) as cluster:
        assert cluster.pid is not None
        owner = owner_of(Path(f"/proc/{cluster.pid}"))
        assert owner != 0
        assert owner_of(cluster.folder.data) == owner
        assert owner_of(made_cluster) == os.geteuid()


async def test_postgres_16_of_the_wheel_runs_too(home: Path) -> None:
    """It decodes logically and sorts as 18 does; its folder is refused by 18 with advice."""
    async with cluster_in(home, install=wheel_install("16")) as cluster:
        assert str(await ask(cluster, "show server_version")).startswith("16.")
        assert await ask(cluster, "show wal_level") == "logical"
        assert await ask(cluster, "select upper('ä')") == "Ä"
        order = "select string_agg(c, '' order by c) from unnest('{a,B,ä,b}'::text[]) c"
        assert await ask(cluster, order) == "Babä"
    with pytest.raises(DataVersionError, match=r"made by PostgreSQL 16; .* runs PostgreSQL 18"):
        await cluster_in(home).start()


def owner_of(path: Path) -> int:
    return path.stat().st_uid


async def test_a_half_written_cluster_is_set_aside_and_made_anew(home: Path) -> None:
    """A folder in which initdb was killed is kept under another name and replaced."""
    data = home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("18\n")
    if is_root():
        (home / "postgres").chmod(0o711)
    async with cluster_in(home) as cluster:
        assert await ask(cluster, "select 1") == 1
        assert any("set aside" in notice for notice in cluster.notices)
    [aside] = (home / "postgres").glob("data.half-written-*")
    assert (aside / "PG_VERSION").read_text() == "18\n"


async def test_a_lost_database_is_refused_and_left_alone(made_cluster: Path) -> None:
    """What was complete once is never rebuilt over."""
    control = made_cluster / "postgres" / "data" / "global" / "pg_control"
    hidden = control.rename(made_cluster / "pg_control")
    with pytest.raises(DamagedDataError, match="pg_control is missing"):
        await cluster_in(made_cluster).start()
    hidden.rename(control)
    async with cluster_in(made_cluster) as cluster:
        assert await ask(cluster, "select 1") == 1


async def test_a_taken_port_is_refused_by_number(made_cluster: Path) -> None:
    """Somebody else's port is named in the error, and no server is left."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cluster = cluster_in(made_cluster, port=port)
        with pytest.raises(PortTakenError, match=f"Port {port} for PostgreSQL is in use"):
            await cluster.start()
        assert cluster.pid is None


async def test_a_setting_that_postgres_refuses_shows_its_log(made_cluster: Path) -> None:
    """The reason is in the error, not in a file somewhere."""
    with pytest.raises(PostgresStartError, match="unrecognized configuration parameter"):
        await cluster_in(made_cluster, settings={"no_such_setting": "1"}).start()


async def test_a_server_left_over_is_stopped_before_a_start(made_cluster: Path) -> None:
    """A server whose stack was killed does not keep the next one from starting."""
    first = cluster_in(made_cluster)
    await first.start()
    await ask(first, "create table kept as select 7 as n")
    second = cluster_in(made_cluster)
    try:
        await second.start()
        assert await first.wait_ended() is not None
        assert any("left over" in notice for notice in second.notices)
        assert await ask(second, "select n from kept") == 7
    finally:
        await second.stop()
        await first.stop()


async def test_a_killed_server_can_be_restarted_on_its_port(made_cluster: Path) -> None:
    """After kill -9 of the server, its committed rows are there again."""
    async with cluster_in(made_cluster) as cluster:
        await ask(cluster, "create table kept as select 7 as n")
        port = cluster.port
        assert cluster.pid is not None
        os.kill(cluster.pid, signal.SIGKILL)
        await cluster.wait_ended()
        await eventually(lambda: _restarted(cluster), swallow=(PostgresStartError,))
        assert cluster.port == port
        assert await ask(cluster, "select n from kept") == 7


async def _restarted(cluster: Cluster) -> bool:
    await cluster.restart()
    return True


async def test_a_copied_installation_runs(tmp_path: Path) -> None:
    """Binaries that the account cannot reach are copied whole, once."""
    home = tmp_path / "home"
    copy = copied_install(wheel_install(), (home,))
    assert copied_install(wheel_install(), (home,)) == copy
    assert os.access(copy / "bin" / "initdb", os.X_OK)
    assert (await find_binaries(None)).major == "18"
