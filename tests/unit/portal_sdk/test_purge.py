"""Taking everything back: it is gone at once, also after a kill, and erased a little at a time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from portal_sdk import StoreError
from portal_sdk._core import effects as do
from portal_sdk._core.replica import Commit
from portal_sdk._core.write import Entry, Write, WriteKind
from portal_sdk._runtime.store_keeper import StoreKeeper
from portal_sdk._store import MemoryStore, SqliteStore
from portal_sdk._store import sqlite as sqlite_store
from portal_sdk._store.outbox import SqliteOutbox
from portal_sdk.testing import FakeProject
from tests.support.waiting import eventually
from tests.unit.portal_sdk.test_staging import OLD, PROJECT, USER, as_left_by_a_kill, filled

UNSENT = Entry(Write("w", "s", WriteKind.PATCH, "jobs", "j", "jobs:j", {"title": "x"}), 1)
NEW_ROW = {"id": "new", "version": 1}


def test_killed_at_any_step_nothing_comes_back_and_no_unsent_write_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "at" / "p.db"
    path.parent.mkdir()
    store = filled(path)
    SqliteOutbox(store.database).save("owner", UNSENT)
    steps: list[int] = []

    def look(rows: int) -> None:
        """A new process finds these rows, erases what is left of the others, and keeps its own."""
        folder = tmp_path / f"copy-{len(steps)}"
        left = as_left_by_a_kill(path, folder)
        stored = left.open(PROJECT, USER)
        assert (stored.epoch is None, len(stored.tables.get("jobs", {}))) == (not rows, rows)
        if rows == 1:
            assert stored.known["jobs"].shapes == {("id",)}
        assert SqliteOutbox(left.database).load("owner") == [UNSENT]
        left.commit(Commit("customer:1", "e", 9, (("jobs", "new", NEW_ROW),)))
        steps.append(0)
        while left.sweep():
            steps[-1] += 1
        left.close()
        assert (b"old-0001" in (folder / path.name).read_bytes()) == (rows > 1)
        assert len(SqliteStore(folder / path.name).open(PROJECT, USER).tables["jobs"]) == rows + 1

    look(700)
    store.purge()
    look(0)
    store.commit(Commit("customer:2", "f", 1, (("jobs", "mine", {"id": "mine"}),)))
    look(1)
    while store.sweep():
        look(1)
    assert steps == [0, 2, 2, 1, 0]
    store.close()
    assert b"old-0001" not in path.read_bytes()


@pytest.mark.parametrize("other", [("http://other", USER), (PROJECT, "user-b")])
def test_another_owner_finds_nothing_and_the_old_rows_are_erased(
    tmp_path: Path, other: tuple[str, str]
) -> None:
    path = tmp_path / "at" / "p.db"
    path.parent.mkdir()
    filled(path).close()
    store = SqliteStore(path)
    assert store.open(*other).tables == {}
    store.claim(*other)
    for number, owner in enumerate((other, (PROJECT, USER))):
        left = as_left_by_a_kill(path, tmp_path / f"copy-{number}")
        assert left.open(*owner).tables == {}
        left.close()
    store.close()
    assert b"old-0001" not in path.read_bytes()


def test_what_could_not_be_taken_back_still_counts_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was full: the old rows, with the old cursor; never the cursor without its rows."""
    path = tmp_path / "at" / "p.db"
    path.parent.mkdir()
    store = filled(path)
    begin = SqliteStore._begin_generation
    with store.database() as database:
        database.execute("pragma foreign_keys = on")
        database.execute("create temp table a (id integer primary key)")
        database.execute("create temp table b (id references a deferrable initially deferred)")

    def full(this: SqliteStore, connection: sqlite3.Connection) -> int:
        connection.execute("insert into b values (1)")  # noticed at the commit
        return begin(this, connection)

    monkeypatch.setattr(SqliteStore, "_begin_generation", full)
    with pytest.raises(StoreError, match="could not be erased"):
        store.purge()
    assert not store.sweep()
    store.commit(Commit("customer:1", "e", 2, (("jobs", "new", NEW_ROW),)))
    stored = as_left_by_a_kill(path, tmp_path / "copy").open(PROJECT, USER)
    assert (stored.n, len(stored.tables["jobs"])) == (2, len(OLD["jobs"]) + 1)


def test_a_store_that_was_never_opened_can_be_purged(tmp_path: Path) -> None:
    filled(tmp_path / "p.db").close()
    store = SqliteStore(tmp_path / "p.db")
    store.lock()
    store.purge()
    store.purge()
    store.commit(Commit("customer:1", "e", 2, (("jobs", "new", NEW_ROW),)))
    store.close()
    assert set(SqliteStore(tmp_path / "p.db").open(PROJECT, USER).tables["jobs"]) == {"new"}


async def test_a_portal_that_loses_its_access_erases_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "LARGE_BYTES", 1)
    project = FakeProject()
    jo = project.add_customer()
    for number in range(1200):
        project.insert(jo, "jobs", title=f"job {number}")
    async with project.portal(jo, store=tmp_path / "p.db") as portal:
        await portal.ready()
        loop_thread_sweeps: list[bool] = []
        sweep = SqliteStore.sweep

        def watched(this: SqliteStore) -> bool:
            try:
                asyncio.get_running_loop()
                loop_thread_sweeps.append(True)
            except RuntimeError:
                loop_thread_sweeps.append(False)
            return sweep(this)

        monkeypatch.setattr(SqliteStore, "sweep", watched)
        stream = portal.changes()
        project.faults.http_status = 403
        project.update(jo, "customers", jo.id, phone="1")
        told = [await anext(stream) for _ in range(1201)]
        assert {(change.kind, change.source) for change in told} == {("delete", "resync")}
        assert len(portal.jobs) == 0
        store: Any = portal._store

        def count() -> int:
            with store.database() as connection:
                return int(connection.execute("select count(*) from rows").fetchone()[0])

        await eventually(lambda: count() == 0)
        assert loop_thread_sweeps
        assert not any(loop_thread_sweeps)


async def test_rows_taken_back_while_the_last_look_is_made_are_erased_too() -> None:
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []

    class Late(MemoryStore):
        looks = 0
        is_large = True  # type: ignore[assignment]

        def sweep(self) -> bool:
            """Find nothing; but something comes before that is known."""
            self.looks += 1
            if self.looks == 1:
                loop.call_soon_threadsafe(keeper.purge, do.PurgeStore())
            return False

    def start(work: Coroutine[Any, Any, None], _name: str) -> None:
        tasks.append(asyncio.create_task(work))

    def nothing() -> None: ...

    store = Late()
    nobody: Any = object()
    post: Callable[[Any], None] = lambda _event: None  # noqa: E731
    keeper = StoreKeeper(
        store, PROJECT, nobody, post=post, start=start, everything=nothing, progressed=nothing
    )
    keeper.purge(do.PurgeStore())
    await asyncio.gather(*tasks)
    assert (store.looks, len(tasks)) == (2, 1)
