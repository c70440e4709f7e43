"""`portalctl db` against real databases: apply, repeat, refuse, report, reset."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from local_stack.postgres.migrate import LOCK_KEY
from portalctl.commands.db import psql_variables
from portalctl.database.target import choose_target
from portalctl.exits import EnvironmentUnusableError, UsageError
from tests.integration.portalctl.database_cli import Run, runner
from tests.support.cluster import REPOSITORY, Database

MIGRATIONS = REPOSITORY / "supabase" / "migrations"
COUNT = len(list(MIGRATIONS.glob("*.sql")))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("SUPABASE_DB_URL", raising=False)
    return runner(capsys)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project with two tiny migrations."""
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20300101000000_one.sql").write_text("create table public.one (id int primary key);")
    (folder / "20300102000000_two.sql").write_text("create table public.two (id int primary key);")
    return tmp_path


def value(url: str, sql: str) -> object:
    async def fetch() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def test_push_applies_everything_once_and_status_agrees(bare_database: Database, run: Run) -> None:
    url = bare_database.url
    before = run("db", "status", "--db-url", url, "--json")
    assert (before.code, len(before.json["pending"])) == (1, COUNT)
    dry = run("db", "push", "--db-url", url, "--dry-run", "--json")
    assert len(dry.json["pending"]) == COUNT
    assert value(url, "select to_regclass('public.jobs')") is None
    pushed = run("db", "push", "--db-url", url)
    assert pushed.code == 0, pushed.err
    assert f"… {COUNT}/{COUNT}" in pushed.err
    assert run("db", "status", "--db-url", url, "--json").json["up_to_date"] is True
    again = run("db", "push", "--db-url", url, "--json")
    assert (again.code, again.json["pending"], len(again.json["applied"])) == (0, [], COUNT)


def test_reset_empties_applies_and_seeds_again(database: Database, run: Run) -> None:
    count = "select count(*) from public.customers"
    seeded = value(database.url, count)
    value(database.url, "insert into public.customers (name) values ('New') returning 1")
    value(database.url, "create table public.extra (id serial primary key)")
    refused = run("db", "reset", "--db-url", database.url)
    assert (refused.code, "Add --yes" in refused.err) == (2, True)
    answer = run("db", "reset", "--db-url", database.url, "--yes", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["seeded"] is True
    assert value(database.url, count) == seeded
    assert value(database.url, "select to_regclass('public.extra')") is None
    assert run("db", "status", "--db-url", database.url).code == 0


def test_a_failing_migration_leaves_nothing_and_is_one_line(
    bare_database: Database, small: Path, run: Run
) -> None:
    bad = small / "supabase" / "migrations" / "20300103000000_bad.sql"
    bad.write_text("create table public.three (id int);\nselect nonsense;\n")
    answer = run("db", "push", "--db-url", bare_database.url, "--project", str(small))
    assert answer.code == 1
    assert "20300103000000_bad.sql failed [42703]" in answer.err
    assert "(line 2)" in answer.err
    assert value(bare_database.url, "select to_regclass('public.three')") is None
    assert value(bare_database.url, "select to_regclass('public.two')::text") == "two"


def test_edited_history_and_foreign_versions_are_reported(
    bare_database: Database, small: Path, run: Run
) -> None:
    options = ("--db-url", bare_database.url, "--project", str(small))
    assert run("db", "push", *options).code == 0
    folder = small / "supabase" / "migrations"
    (folder / "20300101000000_one.sql").write_text("create table public.one (id bigint);")
    (folder / "20300102000000_two.sql").unlink()
    status = run("db", "status", *options, "--json")
    assert status.code == 1
    assert status.json["edited"] == ["20300101000000_one.sql"]
    assert status.json["unknown"] == ["20300102000000"]
    assert "edited after it was applied" in run("db", "push", *options).err


def test_an_older_file_needs_a_word_from_its_owner(
    bare_database: Database, small: Path, run: Run
) -> None:
    options = ("--db-url", bare_database.url, "--project", str(small))
    assert run("db", "push", *options).code == 0
    late = small / "supabase" / "migrations" / "20290101000000_late.sql"
    late.write_text("create table public.late (id int);")
    assert run("db", "push", *options).code == 1
    assert run("db", "push", "--dry-run", *options).code == 1
    assert run("db", "push", "--include-all", *options).code == 0


def test_a_held_table_lock_stops_the_push_after_its_timeout(
    bare_database: Database, small: Path, run: Run
) -> None:
    options = ("--db-url", bare_database.url, "--project", str(small))
    assert run("db", "push", *options).code == 0
    file = small / "supabase" / "migrations" / "20300104000000_alter.sql"
    file.write_text("alter table public.one add column x int;")

    async def blocked() -> None:
        holder = await asyncpg.connect(bare_database.url)
        try:
            async with holder.transaction():
                await holder.execute("lock table public.one")
                answer = await asyncio.to_thread(run, "db", "push", "--lock-timeout", "1", *options)
                assert (answer.code, "[55P03]" in answer.err) == (1, True)
        finally:
            await holder.close()

    asyncio.run(blocked())


def test_two_pushes_at_once_apply_every_migration_once(
    bare_database: Database, small: Path
) -> None:
    from portalctl.database import push as driver
    from portalctl.database.target import Target

    target = Target(bare_database.url, "test")
    folder = small / "supabase" / "migrations"

    async def both() -> list[int]:
        pushes = [driver.push(target, folder, driver.Timeouts()) for _ in range(4)]
        return sorted(len(plan.pending) for plan in await asyncio.gather(*pushes))

    assert asyncio.run(both()) == [0, 0, 0, 2]


def test_reset_waits_for_no_migration_that_runs(database: Database, run: Run) -> None:
    async def held() -> None:
        holder = await asyncpg.connect(database.url)
        try:
            await holder.execute("select pg_advisory_lock($1)", LOCK_KEY)
            answer = await asyncio.to_thread(run, "db", "reset", "--yes", "--db-url", database.url)
            assert (answer.code, "another migration runs" in answer.err) == (1, True)
        finally:
            await holder.close()

    asyncio.run(held())


def test_a_database_without_the_platform_is_refused_first(
    bare_database: Database, run: Run
) -> None:
    value(bare_database.admin_url, "create database plain template template0")
    try:
        url = bare_database.url.replace(f"/{bare_database.name}", "/plain")
        answer = run("db", "push", "--db-url", url)
        assert answer.code == 3
        assert "lacks table auth.users" in answer.err
    finally:
        value(bare_database.admin_url, "drop database plain")


def test_what_cannot_be_reached_is_one_line_without_the_password(
    bare_database: Database, run: Run
) -> None:
    wrong_password = bare_database.url.replace("postgres:", "postgres:x", 1)
    assert wrong_password != bare_database.url
    for url, code, words in (
        ("mysql://u:hunter2@h/db", 2, "not the URL of a PostgreSQL database"),
        ("postgresql://u:hunter2@h:99999/db", 2, "no valid port"),
        ("postgresql://u:hunter2@h.pooler.supabase.com:6543/db", 2, "session pooler"),
        ("postgresql://u:hunter2@127.0.0.1:1/db", 3, "No connection"),
        (f"{bare_database.url}nope", 3, "does not exist"),
    ):
        answer = run("db", "status", "--db-url", url)
        assert (answer.code, words in answer.err) == (code, True), answer.err
        assert answer.err.count("\n") == 1
        assert "hunter2" not in answer.err


def test_the_source_of_the_url_goes_from_near_to_far(tmp_path: Path) -> None:
    far = "postgresql://postgres:p@db.example.com:5432/postgres"
    chosen = choose_target(None, None, {"SUPABASE_DB_URL": far}, tmp_path)
    assert (chosen.origin, chosen.is_local) == ("SUPABASE_DB_URL", False)
    assert chosen.url.endswith("?sslmode=require")
    assert "p@" not in repr(chosen)
    kept = choose_target(f"{far}?sslmode=disable", None, {}, tmp_path)
    assert kept.url.endswith("?sslmode=disable")
    with pytest.raises(UsageError):
        choose_target(far, tmp_path, {}, tmp_path)
    with pytest.raises(EnvironmentUnusableError, match="portalctl up"):
        choose_target(None, None, {}, tmp_path)


def test_a_remote_reset_asks_for_the_host_by_name(run: Run) -> None:
    url = "postgresql://postgres:p@db.example.com:5432/postgres"
    answer = run("db", "reset", "--yes", "--db-url", url)
    assert (answer.code, "--confirm-host db.example.com" in answer.err) == (2, True)


def test_psql_gets_the_database_by_variables(bare_database: Database) -> None:
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed")
    words = ["db", "psql", "--db-url", bare_database.url, "-Atc", "select current_database()"]
    result = subprocess.run(
        [sys.executable, "-m", "portalctl", *words],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert (result.stdout.strip(), result.returncode) == (bare_database.name, 0), result.stderr


def test_escaped_passwords_reach_psql_as_they_are() -> None:
    variables = psql_variables("postgresql://me:p%40ss@h:1/db?sslmode=require")
    assert variables["PGPASSWORD"] == "p@ss"  # pragma: allowlist secret
    assert variables["PGSSLMODE"] == "require"
