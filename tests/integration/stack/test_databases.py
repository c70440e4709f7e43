"""Fresh databases, reset, the pytest plugin."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path

import asyncpg
import httpx
import pytest
import websockets

from local_stack.background import BackgroundStack
from local_stack.config import StackConfig
from local_stack.databases import DATABASE, OWN_PREFIX
from local_stack.stack import LocalStack
from tests.support.rest_writers import execute
from tests.support.stack_folders import REPOSITORY


async def test_fresh_databases_are_seeded_separate_and_dropped(small_project: Path) -> None:
    """What one contains is neither in another nor in the stack's own."""
    config = StackConfig(project_dir=small_project, template=True)
    with (
        BackgroundStack(config) as stack,
        stack.fresh_database() as first,
        stack.fresh_database() as second,
    ):
        assert first.name != second.name
        await execute(first.url, "create table public.probe (id int);")
        probe = "select to_regclass('public.probe')"
        assert await execute(second.url, probe) is None
        assert await execute(stack.database_url, probe) is None
        notes = "select count(*) from public.notes"
        assert await execute(first.url, notes) == await execute(second.url, notes) == 1
        assert await execute(first.admin_url, "show is_superuser") == "on"
        left = f"select count(*) from pg_database where datname like '{OWN_PREFIX}fresh%'"
        assert await execute(stack.admin_database_url, left) == 2
        with stack.fresh_database():
            assert await execute(stack.admin_database_url, left) == 3
        assert await execute(stack.admin_database_url, left) == 2


async def test_reset_gives_back_the_first_day(seeded_dir: Path, small_project: Path) -> None:
    """What was written since is gone, users too; keys stay; sockets are closed with 1012.

    The template is made on demand, from the project and not from what the folder contains.
    """
    config = StackConfig(data_dir=seeded_dir, project_dir=small_project, fsync=False)
    async with LocalStack(config) as stack, httpx.AsyncClient() as http:
        await execute(stack.database_url, "insert into public.notes values (2);")
        url = stack.api_url.replace("http", "ws", 1) + "/realtime/v1/websocket"
        async with websockets.connect(f"{url}?apikey={stack.keys.anon}&vsn=1.0.0") as socket:
            await stack.reset_database()
            await asyncio.wait_for(socket.wait_closed(), 10)
            assert socket.close_code == 1012
        assert await execute(stack.database_url, "select to_regclass('public.customers')") is None
        assert await execute(stack.database_url, "select count(*) from auth.users") == 0
        url = f"{stack.api_url}/rest/v1/notes"
        answer = await http.get(url, headers={"apikey": stack.keys.secret})
        assert answer.json() == [{"id": 1}]
        await execute(stack.database_url, "delete from public.notes;")
        await stack.reset_database()
        answer = await http.get(url, headers={"apikey": stack.keys.secret})
        assert answer.json() == [{"id": 1}]


async def test_a_reset_that_was_killed_halfway_is_finished_by_the_next_start(
    seeded_dir: Path,
) -> None:
    """Between the old database and the new one there may be none."""
    config = StackConfig(data_dir=seeded_dir, fsync=False)
    async with LocalStack(config) as stack:
        connection = await asyncpg.connect(stack._dsn("supabase_admin", "template1"))
        drop = f"drop database {DATABASE} with (force)"
        try:
            await asyncio.wait_for(_until_dropped(connection, drop), 20)
        finally:
            await connection.close()
    async with LocalStack(config) as stack:
        assert await execute(stack.database_url, "select count(*) from auth.users") == 0


async def _until_dropped(connection: asyncpg.Connection, drop: str) -> None:
    while True:
        try:
            await connection.execute(
                "select pg_terminate_backend(active_pid, 1000), "
                "pg_drop_replication_slot(slot_name) from pg_replication_slots"
            )
            await connection.execute(drop)
        except (asyncpg.ObjectInUseError, asyncpg.UndefinedObjectError):
            continue
        return


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    """A project with one table and one row of seed."""
    migrations = tmp_path / "supabase" / "migrations"
    migrations.mkdir(parents=True)
    (migrations / "29990101000000_notes.sql").write_text(
        "create table public.notes (id int primary key);"
        "grant select, insert on public.notes to service_role;"
    )
    (tmp_path / "supabase" / "seed.sql").write_text("insert into public.notes values (1);")
    return tmp_path


@pytest.mark.slow
def test_the_pytest_plugin_gives_fixtures_to_other_projects(small_project: Path) -> None:
    """A project with a migration of its own, three fixtures, no setting needed."""
    tmp_path = small_project
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["local_stack.pytest_plugin"]\n')
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_notes.py").write_text(
        textwrap.dedent(
            """
            import json
            import urllib.request

            import pytest

            def notes(stack, body=None):
                request = urllib.request.Request(
                    stack.api_url + "/rest/v1/notes",
                    headers={"apikey": stack.keys.secret, "content-type": "application/json"},
                    data=None if body is None else json.dumps(body).encode(),
                )
                with urllib.request.urlopen(request) as answer:
                    return json.loads(answer.read() or b"null")

            @pytest.mark.parametrize("number", [2, 3])
            def test_a_clean_stack_every_time(supabase, number):
                assert notes(supabase) == [{"id": 1}]
                notes(supabase, {"id": number})
                assert notes(supabase) == [{"id": 1}, {"id": number}]

            def test_a_database(supabase_database):
                assert supabase_database.url.startswith("postgresql://postgres:")
            """
        )
    )
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "3 passed" in outcome.stdout
