"""The databases that tests get."""

import concurrent.futures
import os
import shutil
import time
from pathlib import Path

import asyncpg
import pytest

from local_stack.folder import LOCK, make_ephemeral
from tests.support.cluster import Database
from tests.support.personas import PERSONAS, acting_as
from tests.support.prepared import Prepared, ephemeral_copy


async def test_bare_database_has_the_platform(bare_database: Database) -> None:
    """Roles and managed schemas exist, and the project's owner is no superuser."""
    connection = await asyncpg.connect(bare_database.url)
    try:
        schemas = await connection.fetch("select nspname from pg_namespace")
        assert {"public", "extensions", "auth", "realtime"} <= {row["nspname"] for row in schemas}
        assert await connection.fetchval("show is_superuser") == "off"
    finally:
        await connection.close()


async def test_each_test_has_its_own_database(
    bare_database: Database, empty_database: Database
) -> None:
    """What one clone contains is not in the other."""
    first = await asyncpg.connect(bare_database.url)
    second = await asyncpg.connect(empty_database.url)
    try:
        await first.execute("create table public.probe (id int)")
        assert await second.fetchval("select to_regclass('public.probe')") is None
    finally:
        await first.close()
        await second.close()


async def test_every_persona_can_act(bare_database: Database) -> None:
    """Role and claims are set for the transaction and gone after it."""
    connection = await asyncpg.connect(bare_database.url)
    try:
        for persona in PERSONAS.values():
            async with connection.transaction():
                await acting_as(connection, persona)
                row = await connection.fetchrow("select current_user, auth.uid()::text as uid")
                assert row is not None
                assert (row["current_user"], row["uid"]) == (persona.role, persona.uid)
        assert await connection.fetchval("select current_user") == "postgres"
    finally:
        await connection.close()


def test_a_copy_is_not_taken_for_the_folder_of_a_killed_stack(tmp_path: Path) -> None:
    """A lock that nobody holds, made a while ago, would say so before the copy's stack runs."""

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / LOCK).touch()
        os.utime(folder / LOCK, (0, 0))

    copy = ephemeral_copy(Prepared(tmp_path).once("thing", make))
    shutil.rmtree(make_ephemeral())
    assert copy.exists()
    shutil.rmtree(copy)


def test_a_folder_is_made_once_however_many_ask(tmp_path: Path) -> None:
    """One makes it, the others wait until it is complete; one that failed leaves nothing."""
    made: list[Path] = []

    def make(folder: Path) -> None:
        folder.mkdir()
        made.append(folder)
        time.sleep(0.05)
        (folder / "complete").touch()

    def fail(folder: Path) -> None:
        folder.mkdir()
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        Prepared(tmp_path).once("thing", fail)

    def ask(_: int) -> bool:
        return (Prepared(tmp_path).once("thing", make) / "complete").exists()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))
    assert len(made) == 1
