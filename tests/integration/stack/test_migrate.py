"""Migrations against a real database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from local_stack.errors import MigrationError, SeedError
from local_stack.postgres.migrate import apply_migrations, apply_seed, migration_status
from tests.support.cluster import Database


def write(folder: Path, version: int, name: str, sql: str) -> None:
    (folder / f"2026110100{version:04d}_{name}.sql").write_text(sql)


async def ask(database: Database, sql: str) -> object:
    connection = await asyncpg.connect(database.url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_migrations_are_applied_once_and_recorded(
    bare_database: Database, tmp_path: Path
) -> None:
    """The history is the Supabase CLI's; a second run does nothing."""
    write(tmp_path, 1, "one", "create table one (id int); insert into one values (1);")
    write(tmp_path, 2, "two", "insert into one values (2);")
    assert len((await apply_migrations(bare_database.url, tmp_path)).pending) == 2
    assert (await apply_migrations(bare_database.url, tmp_path)).pending == ()
    assert await ask(bare_database, "select count(*) from one") == 2
    table = "supabase_migrations.schema_migrations"
    assert await ask(bare_database, f"select array_agg(name order by version) from {table}") == [
        "one",
        "two",
    ]
    assert await ask(bare_database, f"select statements[2] from {table} where name = 'one'") == (
        "insert into one values (1)"
    )
    assert await ask(bare_database, "select tableowner from pg_tables where tablename='one'") == (
        "postgres"
    )


async def test_a_failed_migration_leaves_nothing_of_itself(
    bare_database: Database, tmp_path: Path
) -> None:
    """The ones before it stay; the error names file, line and code."""
    write(tmp_path, 1, "good", "create table good (id int);")
    write(tmp_path, 2, "bad", "create table bad (id int);\n\nselect no_such_column from bad;")
    with pytest.raises(MigrationError, match=r"0002_bad\.sql failed \[42703\].*line 3") as failure:
        await apply_migrations(bare_database.url, tmp_path)
    assert failure.value.sqlstate == "42703"
    assert await ask(bare_database, "select to_regclass('good')") is not None
    assert await ask(bare_database, "select to_regclass('bad')") is None
    write(tmp_path, 2, "bad", "create table bad (id int);")
    assert len((await apply_migrations(bare_database.url, tmp_path)).pending) == 1


async def test_two_migrators_at_once_apply_everything_once(
    bare_database: Database, tmp_path: Path
) -> None:
    """The second waits for the first and finds nothing to do."""
    for number in range(1, 6):
        write(tmp_path, number, f"m{number}", f"create table m{number} (id int);")
    plans = await asyncio.gather(
        apply_migrations(bare_database.url, tmp_path), apply_migrations(bare_database.url, tmp_path)
    )
    assert sorted(len(plan.pending) for plan in plans) == [0, 5]


async def test_settings_of_one_migration_do_not_reach_the_next(
    bare_database: Database, tmp_path: Path
) -> None:
    """A `set` without `local` ends with its file."""
    write(tmp_path, 1, "sets", "set search_path = ''; set lock_timeout = '2s';")
    write(tmp_path, 2, "uses", "create table plain (id int);")
    await apply_migrations(bare_database.url, tmp_path)
    assert await ask(bare_database, "select to_regclass('public.plain')") is not None


async def test_edited_and_older_migrations_are_noticed(
    bare_database: Database, tmp_path: Path
) -> None:
    """An edit is reported, white space and comments are not; an older file is refused."""
    write(tmp_path, 2, "kept", "create table kept (id int);")
    write(tmp_path, 3, "edited", "create table edited (id int);")
    await apply_migrations(bare_database.url, tmp_path)
    write(tmp_path, 2, "kept", "-- now with a comment\ncreate   table kept (id int);\n")
    write(tmp_path, 3, "edited", "create table edited (id bigint);")
    assert (await migration_status(bare_database.url, tmp_path)).edited == (
        "20261101000003_edited.sql",
    )
    write(tmp_path, 1, "late", "create table late (id int);")
    with pytest.raises(MigrationError, match="older than the newest"):
        await apply_migrations(bare_database.url, tmp_path)
    await apply_migrations(bare_database.url, tmp_path, include_older=True)
    assert await ask(bare_database, "select to_regclass('late')") is not None


async def test_a_migration_that_commits_by_itself_is_refused(
    bare_database: Database, tmp_path: Path
) -> None:
    """Before anything of it runs."""
    write(tmp_path, 1, "commits", "create table half (id int); commit; select 1/0;")
    with pytest.raises(MigrationError, match="commit"):
        await apply_migrations(bare_database.url, tmp_path)
    assert await ask(bare_database, "select to_regclass('half')") is None


async def test_the_seed_is_loaded_once(bare_database: Database, tmp_path: Path) -> None:
    """A failed seed leaves nothing; a loaded one is not loaded again."""
    write(tmp_path, 1, "one", "create table one (id int);")
    await apply_migrations(bare_database.url, tmp_path)
    seed = tmp_path / "seed.sql"
    assert await apply_seed(bare_database.url, seed) is False
    seed.write_text("insert into one values (1); select 1/0;")
    with pytest.raises(SeedError, match="division by zero"):
        await apply_seed(bare_database.url, seed)
    seed.write_text("insert into one values (1);")
    assert await apply_seed(bare_database.url, seed) is True
    assert await apply_seed(bare_database.url, seed) is False
    assert await ask(bare_database, "select count(*) from one") == 1


async def test_what_a_seed_defers_still_finds_its_settings(
    bare_database: Database, tmp_path: Path
) -> None:
    """The change feed counts in a setting; without it, it would take every row alone."""
    write(
        tmp_path,
        1,
        "late",
        """create table late (id int, found text);
        create function note() returns trigger language plpgsql as $$ begin
            update late set found = current_setting('my.count', true) where id = new.id;
            return null;
        end $$;
        create constraint trigger note after insert on late deferrable initially deferred
        for each row execute function note();""",
    )
    await apply_migrations(bare_database.url, tmp_path)
    (tmp_path / "seed.sql").write_text("set my.count = '7'; insert into late values (1);")
    await apply_seed(bare_database.url, tmp_path / "seed.sql")
    assert await ask(bare_database, "select found from late") == "7"
