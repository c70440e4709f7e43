"""A database that went back in time, or is another one: readers of the lost future must resync.

None of these tests calls `private.new_sync_epoch()` where the product notices by itself.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from local_stack.postgres.binaries import wheel_install
from tests.feed.oracle import Connection, faults_of_feed
from tests.support.cluster import SEEDED, Database, TestCluster
from tests.support.personas import acting_as, customer_id
from tests.support.waiting import eventually

A = customer_id(1)
SCOPE = f"customer:{A}"
BIN = wheel_install("18") / "bin"


@dataclass
class Reader:
    """Where a portal and a member of staff stand, and what they are answered."""

    epoch: str
    n: int
    cursor: str = ""

    async def pull(self, db: Connection) -> dict[str, Any]:
        """Pull as the customer."""
        sql = "select portal_pull($1, $2, $3)"
        return await ask(db, sql, SCOPE, self.epoch, str(self.n))

    async def follow(self, db: Connection) -> dict[str, Any]:
        """Follow the log as staff, from the cursor."""
        return await ask(db, "select activity_since($1)", self.cursor, who="agent")


async def ask(db: Connection, sql: str, *values: Any, who: str = "customer_a") -> dict[str, Any]:
    async with db.transaction():
        await acting_as(db, who)
        answer: dict[str, Any] = json.loads(await db.fetchval(sql, *values))
    return answer


async def read_head(db: Connection) -> Reader:
    head = await ask(db, "select portal_head($1)", SCOPE)
    log = await ask(db, "select activity_since()", who="agent")
    return Reader(head["epoch"], head["n"], log["cursor"])


async def write(db: Connection, phone: str) -> None:
    await db.execute("update customers set phone = $2 where id = $1", A, phone)


async def live_past_a_backup(url: str) -> Reader:
    """Write what the backup does not have; return the reader who saw it."""
    db = await asyncpg.connect(url)
    try:
        await write(db, "lost")
        return await read_head(db)
    finally:
        await db.close()


async def recovery_has_ended(url: str) -> None:
    """Wait until the server writes: before, it answers on the timeline that it replays."""
    db = await asyncpg.connect(url)
    try:
        await eventually(lambda: db.fetchval("select not pg_is_in_recovery()"), 30)
    finally:
        await db.close()


async def check_the_lost_future_is_noticed(url: str, reader: Reader) -> None:
    """The reader must resync before and after new writes reach its n, and only once."""
    db = await asyncpg.connect(url)
    try:
        answer = await reader.pull(db)
        assert (answer["must_resync"], answer["reason"]) == (True, "epoch")
        early = await read_head(db)
        assert (early.epoch, early.n) == (answer["epoch"], reader.n - 1)
        log = await reader.follow(db)
        assert (log["reset"], log["entries"]) == ("epoch", [])
        for phone in ("another", "history"):
            await write(db, phone)
        assert (await reader.follow(db))["reset"] == "epoch"
        log = await early.follow(db)
        assert log["reset"] is None
        assert [entry["new"]["phone"] for entry in log["entries"]] == ["another", "history"]
        answer = await reader.pull(db)
        assert (answer["must_resync"], answer["reason"]) == (True, "epoch")
        # Who took its snapshot before the first write goes on without another one.
        answer = await early.pull(db)
        assert not answer["must_resync"]
        assert [change["n"] for change in answer["changes"]] == [early.n + 1, early.n + 2]
        ring = await db.fetchval(
            "select payload from realtime.messages where topic = $1 order by inserted_at desc "
            "limit 1",
            SCOPE,
        )
        assert json.loads(ring)["epoch"] == early.epoch
        assert await faults_of_feed(db) == []
    finally:
        await db.close()


def run(program: str, *words: str) -> None:
    done = subprocess.run(
        [str(BIN / program), *words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def dump(database: Database, tmp_path: Path) -> Path:
    """A dump of a seeded database."""
    file = tmp_path / "backup.dump"
    run("pg_dump", "--format=custom", f"--file={file}", database.admin_url)
    return file


async def test_a_dump_restored_into_a_fresh_database_is_noticed(
    cluster: TestCluster, database: Database, dump: Path
) -> None:
    reader = await live_past_a_backup(database.url)
    name = f"{database.name}_fresh"
    admin = await asyncpg.connect(database.admin_url.rsplit("/", 1)[0] + "/template1")
    try:
        await admin.execute(f'create database "{name}" template template0')
        run("pg_restore", f"--dbname={cluster.url_as('supabase_admin', name)}", str(dump))
        await check_the_lost_future_is_noticed(cluster.url_as("postgres", name), reader)
    finally:
        await admin.execute(f'drop database if exists "{name}" with (force)')
        await admin.close()


async def test_a_dump_restored_over_the_same_database_is_noticed(
    database: Database, dump: Path
) -> None:
    """A session that stays connected must not remember the database of before."""
    reader = await live_past_a_backup(database.url)
    staying = await asyncpg.connect(database.url)
    try:
        admin = await asyncpg.connect(database.admin_url)
        for verb in ("receive", "send"):
            # The only objects outside of both schemas that need them.
            name = f"customers and staff {verb} on their topics"
            await admin.execute(f'drop policy "{name}" on realtime.messages')
        await admin.close()
        assert not (await reader.pull(staying))["must_resync"]
        words = ("--clean", "--if-exists", "--schema=public", "--schema=private")
        run("pg_restore", *words, f"--dbname={database.admin_url}", str(dump))
        assert (await reader.pull(staying))["reason"] == "epoch"
        await check_the_lost_future_is_noticed(database.url, reader)
    finally:
        await staying.close()


async def test_data_restored_into_a_migrated_database_is_noticed(
    cluster: TestCluster, database: Database, empty_database: Database, dump: Path
) -> None:
    reader = await live_past_a_backup(database.url)
    words = ("--data-only", "--disable-triggers", "--schema=public")
    users = ("--data-only", "--schema=auth", "--table=users")
    for chosen in (users, words):
        run("pg_restore", *chosen, f"--dbname={empty_database.admin_url}", str(dump))
    await check_the_lost_future_is_noticed(empty_database.url, reader)


async def test_a_copy_of_a_database_is_noticed(cluster: TestCluster, database: Database) -> None:
    name = f"{database.name}_copy"
    admin = await asyncpg.connect(database.admin_url.rsplit("/", 1)[0] + "/template1")
    try:
        await admin.execute(f'create database "{name}" template "{database.name}" owner postgres')
        reader = await live_past_a_backup(database.url)
        await check_the_lost_future_is_noticed(cluster.url_as("postgres", name), reader)
    finally:
        await admin.execute(f'drop database if exists "{name}" with (force)')
        await admin.close()


class Files:
    """A server of its own whose data folder is copied and put back."""

    def __init__(self, cluster: TestCluster) -> None:
        self.cluster = cluster
        self._name = cluster.clone(SEEDED, "files").name
        self._data = cluster._folder / "postgres" / "data"
        self._backup = cluster._folder / "backup"

    @property
    def url(self) -> str:
        """The database's URL; the port changes with every start."""
        return self.cluster.url_as("postgres", self._name)

    def stop(self) -> None:
        self.cluster._thread.call(self.cluster._stop())

    def start(self) -> None:
        self.cluster.start()

    def back_up(self) -> None:
        self.stop()
        # cp keeps the owner, which shutil does not.
        subprocess.run(["cp", "-a", str(self._data), str(self._backup)], check=True)
        self.start()

    def put_back(self, *, recover: bool) -> None:
        """Put the copy back; `recover`: as archive recovery does, which begins a timeline."""
        self.stop()
        shutil.rmtree(self._data)
        subprocess.run(["cp", "-a", str(self._backup), str(self._data)], check=True)
        if recover:
            signal = self._data / "recovery.signal"
            like = self._data / "PG_VERSION"
            subprocess.run(["cp", "-a", str(like), str(signal)], check=True)
            with (self._data / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
                settings.write("restore_command = 'false'\n")
        self.start()


@pytest.fixture(scope="module")
def files() -> Iterator[Files]:
    with TestCluster() as cluster:
        made = Files(cluster)
        made.back_up()
        yield made


@pytest.mark.soak
async def test_files_recovered_to_a_point_in_time_are_noticed(files: Files) -> None:
    reader = await live_past_a_backup(files.url)
    files.put_back(recover=True)
    await recovery_has_ended(files.url)
    await check_the_lost_future_is_noticed(files.url, reader)


@pytest.mark.soak
async def test_a_cold_copy_of_the_files_needs_the_documented_call(files: Files) -> None:
    """Nothing inside the copy differs from the original: the one case for new_sync_epoch()."""
    files.put_back(recover=False)
    reader = await live_past_a_backup(files.url)
    files.put_back(recover=False)
    db = await asyncpg.connect(files.url)
    try:
        answer = await reader.pull(db)
        assert (answer["must_resync"], answer["reason"]) == (True, "ahead")
        scopes = await db.fetchval("select count(*) from sync_scopes")
        assert await db.fetchval("select private.new_sync_epoch()") == scopes
        await write(db, "another")
        answer = await reader.pull(db)
        assert (answer["must_resync"], answer["reason"]) == (True, "epoch")
        assert (await read_head(db)).n == reader.n
    finally:
        await db.close()
