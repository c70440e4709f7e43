"""A large snapshot is written beside the old rows: one or the other counts, never a mixture."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from portal_sdk import ServerUnavailableError
from portal_sdk._core.replica import Commit
from portal_sdk._runtime import store_keeper
from portal_sdk._store import SqliteStore, staging
from portal_sdk._store import sqlite as sqlite_store
from portal_sdk._store.staging import Staging
from portal_sdk.testing import FakeProject
from tests.support.waiting import eventually

PROJECT, USER = "http://project", "user-a"
OLD = {"jobs": {f"old-{i:04}": {"id": f"old-{i:04}", "version": 1} for i in range(700)}}
NEW = {
    "jobs": {f"new-{i:04}": {"id": f"new-{i:04}", "version": 1, "more": 1} for i in range(1200)},
    "messages": {"m": {"id": "m"}},
}


def everything(n: int, tables: Any) -> Commit:
    return Commit("customer:1", "e", n, everything=tables)


def filled(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    store.open(PROJECT, USER)
    store.claim(PROJECT, USER)
    store.commit(everything(1, OLD))
    return store


def as_left_by_a_kill(path: Path, copy: Path) -> SqliteStore:
    """Return the store that a new process finds if the one of ``path`` is killed now."""
    copy.mkdir(parents=True)
    for file in path.parent.glob(f"{path.name}*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, copy / file.name)
    return SqliteStore(copy / path.name)


def test_killed_at_any_step_it_is_the_old_rows_or_the_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "at" / "p.db"
    path.parent.mkdir()
    store = filled(path)
    found: list[int] = []

    def look() -> None:
        stored = as_left_by_a_kill(path, tmp_path / f"copy-{len(found)}").open(PROJECT, USER)
        assert stored.tables == (OLD if stored.n == 1 else NEW)
        shapes = {("id", "version")} if stored.n == 1 else {("id", "version", "more")}
        assert stored.known["jobs"].shapes == shapes
        found.append(stored.n)

    staged = store.stage(NEW)
    look()
    while staged.advance():
        look()
    look()
    store.commit(everything(2, NEW))
    look()
    while store.sweep():
        look()
    assert found == [1] * 4 + [2] * (len(found) - 4)
    assert len(found) >= 7
    store.commit(Commit("customer:1", "e", 3, (("jobs", "late", {"id": "late"}),)))
    store.close()
    again = SqliteStore(path).open(PROJECT, USER)
    assert (again.n, len(again.tables["jobs"])) == (3, 1201)


def test_what_a_kill_left_behind_is_erased(tmp_path: Path) -> None:
    path = tmp_path / "at" / "p.db"
    path.parent.mkdir()
    store = filled(path)
    staged = store.stage(NEW)
    staged.advance()
    left = as_left_by_a_kill(path, tmp_path / "copy")
    assert left.open(PROJECT, USER).tables == OLD
    while left.sweep():
        pass
    left.close()
    assert b"new-0001" not in (tmp_path / "copy" / "p.db").read_bytes()
    again = SqliteStore(tmp_path / "copy" / "p.db")
    assert again.open(PROJECT, USER).tables == OLD


def test_a_store_that_changes_hands_shows_nothing_of_what_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "at" / "p.db"
    path.parent.mkdir()
    store = filled(path)
    staged = store.stage(NEW)
    store.open(PROJECT, "user-b")
    store.claim(PROJECT, "user-b")
    assert staged.advance(), "it goes on: these are the rows of the new owner"
    assert as_left_by_a_kill(path, tmp_path / "copy").open(PROJECT, "user-b").tables == {}
    store.commit(Commit("customer:2", "e", 1, (("jobs", "j", {"id": "j"}),)))
    assert set(store.open(PROJECT, "user-b").tables["jobs"]) == {"j"}


def test_closing_or_purging_half_way_leaves_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    store = filled(path)
    staged = store.stage(NEW)
    staged.advance()
    store.close()
    assert not staged.advance()
    assert b"new-0001" not in path.read_bytes()
    store = SqliteStore(path)
    assert store.open(PROJECT, USER).tables == OLD
    staged = store.stage(NEW)
    staged.advance()
    store.purge()
    assert not staged.advance()
    store.close()
    content = path.read_bytes()
    assert b"new-0001" not in content
    assert b"old-0001" not in content


def test_only_the_staged_rows_themselves_count_as_staged(tmp_path: Path) -> None:
    """Another snapshot than the one that was written beforehand is written as a whole."""
    path = tmp_path / "p.db"
    store = filled(path)
    first, second = store.stage(NEW), store.stage(OLD)
    assert not first.advance(), "one at a time"
    second.advance()  # not complete
    store.commit(everything(2, OLD))
    assert as_left_by_a_kill(path, tmp_path / "second").open(PROJECT, USER).tables == OLD
    third = store.stage(NEW)
    while third.advance():
        pass
    other = {"jobs": {"x": {"id": "x"}}}
    store.commit(everything(3, other))
    store.close()
    assert SqliteStore(path).open(PROJECT, USER).tables == other


def test_sweeping_spares_what_is_being_written(tmp_path: Path) -> None:
    store = filled(tmp_path / "p.db")
    staged = store.stage(NEW)
    while staged.advance():
        assert not store.sweep()
    store.commit(everything(2, NEW))
    while store.sweep():
        pass
    store.close()
    assert SqliteStore(tmp_path / "p.db").open(PROJECT, USER).tables == NEW


def test_a_file_that_was_only_locked_keeps_its_rows(tmp_path: Path) -> None:
    """A program that ends before anyone has signed in does not know which rows count."""
    path = tmp_path / "p.db"
    filled(path).close()
    store = SqliteStore(path)
    store.lock()
    assert not store.sweep()
    store.close()
    assert SqliteStore(path).open(PROJECT, USER).tables == OLD


# In a portal.


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty rows are a large snapshot."""
    monkeypatch.setattr(store_keeper, "ROWS_AT_ONCE", 10)
    monkeypatch.setattr(store_keeper, "STORE_RETRY_S", 0.0)
    monkeypatch.setattr(staging, "STEP_ROWS", 5)
    monkeypatch.setattr(sqlite_store, "LARGE_BYTES", 1)


class Gate:
    """Holds every staging after its first step, in its thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_reached = threading.Event()
        self.is_open = threading.Event()
        advance = Staging.advance

        def held(this: Staging) -> bool:
            if this.shapes:
                self.is_reached.set()
                self.is_open.wait(10)
            return advance(this)

        monkeypatch.setattr(Staging, "advance", held)


@pytest.mark.usefixtures("small_steps")
async def test_the_loop_goes_on_and_a_write_is_durable_while_a_snapshot_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = FakeProject()
    jo = project.add_customer()
    for number in range(40):
        project.insert(jo, "jobs", title=f"job {number}")
    path = tmp_path / "at" / "p.db"
    path.parent.mkdir()
    async with project.portal(jo, store=path) as portal:
        await portal.ready()
        gate = Gate(monkeypatch)
        project.break_continuity(jo)
        project.insert(jo, "jobs", title="after the restore")
        await eventually(gate.is_reached.is_set)
        stream = portal.changes()
        assert (portal.status.state, len(portal.jobs)) == ("catching_up", 40)
        await portal.messages.send("in between")
        left = as_left_by_a_kill(path, tmp_path / "killed")
        stored = left.open("http://project.test", jo.user_id)
        assert len(stored.tables["jobs"]) == 40, "the old rows count until the new ones do"
        with left.database() as connection:
            assert connection.execute("select count(*) from outbox").fetchone() == (1,)
        gate.is_open.set()
        await portal.ready()
        assert len(portal.jobs) == 41
        async for change in stream:
            if (change.table, change.source) == ("jobs", "resync"):
                break
        killed = as_left_by_a_kill(path, tmp_path / "told")
        assert len(killed.open("http://project.test", jo.user_id).tables["jobs"]) == 41


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("end", ["close", "pause", "sign out"])
async def test_ending_while_a_snapshot_is_stored_leaves_the_old_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    project = FakeProject()
    jo = project.add_customer()
    for number in range(40):
        project.insert(jo, "jobs", title=f"job {number}")
    path = tmp_path / "p.db"
    async with project.portal(jo, store=path) as portal:
        await portal.ready()
        gate = Gate(monkeypatch)
        project.break_continuity(jo)
        await eventually(gate.is_reached.is_set)
        if end == "pause":
            portal.pause()
            gate.is_open.set()
            portal.resume()
            await portal.ready()
        elif end == "sign out":
            project.faults.http_status = 503
        opening = asyncio.get_running_loop().call_later(0.05, gate.is_open.set)
    opening.cancel()
    gate.is_open.set()
    project.faults.http_status = None
    store = SqliteStore(path)
    assert len(store.open("http://project.test", jo.user_id).tables["jobs"]) == 40
    assert not store.sweep(), "nothing is left of the other"
    store.close()


@pytest.mark.usefixtures("small_steps")
async def test_a_snapshot_that_could_not_be_stored_is_stored_later_with_what_came_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = FakeProject()
    jo = project.add_customer()
    ids = [project.insert(jo, "jobs", title=f"job {number}") for number in range(40)]
    path = tmp_path / "p.db"
    is_full = True
    write_rows = staging.write_rows

    def write(connection: sqlite3.Connection, generation: int, upserts: Any) -> None:
        write_rows(connection, generation, upserts)
        if is_full:
            raise sqlite3.OperationalError("database or disk is full")

    for module in (staging, sqlite_store):
        monkeypatch.setattr(module, "write_rows", write)
    async with project.portal(jo, store=path) as portal:
        await portal.ready()
        await eventually(lambda: "full" in str(portal.status.last_error))
        project.update(jo, "jobs", ids[0], title="while it was full")
        await eventually(lambda: portal.jobs[ids[0]].title == "while it was full")
        gate = Gate(monkeypatch)
        is_full = False
        project.update(jo, "jobs", ids[1], title="begins the rewriting")
        await eventually(gate.is_reached.is_set)
        project.update(jo, "jobs", ids[2], title="comes meanwhile")
        project.remove(jo, "jobs", ids[3])
        await eventually(lambda: ids[3] not in portal.jobs)
        gate.is_open.set()
        await eventually(lambda: portal.status.last_error is None)
        project.update(jo, "jobs", ids[4], title="comes afterwards")
        await eventually(lambda: portal.jobs[ids[4]].title == "comes afterwards")
    stored = SqliteStore(path).open("http://project.test", jo.user_id)
    assert {row["id"]: row["title"] for row in stored.tables["jobs"].values()} == {
        row["id"]: row["title"] for row in project.rows(jo, "jobs")
    }


@pytest.mark.usefixtures("small_steps")
async def test_a_large_file_shows_its_rows_before_the_network_is_there(tmp_path: Path) -> None:
    project = FakeProject()
    jo = project.add_customer()
    for number in range(40):
        project.insert(jo, "jobs", title=f"job {number}")
    path = tmp_path / "p.db"
    async with project.portal(jo, store=path) as portal:
        await portal.ready()
        await eventually(lambda: SqliteStore.salt(portal._store, "http://project.test"))  # type: ignore[arg-type]
    project.faults.http_status = 503
    async with project.portal(jo, store=path) as portal:
        await eventually(lambda: len(portal.jobs) == 40)
        assert portal.status.state == "offline"
        assert isinstance(portal.status.last_error, ServerUnavailableError)
