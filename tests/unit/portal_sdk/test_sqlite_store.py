"""The store in one file: one owner, one transaction, honest about damage."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portal_sdk._core.replica import Commit, Replica
from portal_sdk._core.write import Entry, Write, WriteKind
from portal_sdk._store import SqliteStore
from portal_sdk._store.outbox import SqliteOutbox
from portal_sdk._store.protocol import SCHEMA_VERSION
from portal_sdk.errors import StoreError, StoreLockedError, StoreUnusableError

PROJECT, USER = "http://project", "user-a"
JOB = {"id": "j1", "version": 1, "title": "secret-title"}
WRITE = Write(
    "w1", "customer:1", WriteKind.PATCH, "customers", "c1", "customers:c1", {"phone": "1"}
)
ENTRY = Entry(WRITE, 1)


def commit(n: int = 1, *rows: Any, **more: Any) -> Commit:
    upserts = tuple(("jobs", row["id"], row) for row in rows)
    return Commit("customer:1", "e", n, upserts, **more)


def filled(path: Path) -> None:
    store = SqliteStore(path)
    store.open(PROJECT, USER)
    store.claim(PROJECT, USER)
    store.commit(commit(1, JOB, as_of="2026-01-01T00:00:00+00:00"))
    store.close()


def test_rows_and_cursor_come_back(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    filled(path)
    stored = SqliteStore(path).open(PROJECT, USER)
    assert (stored.scope, stored.epoch, stored.n) == ("customer:1", "e", 1)
    assert stored.tables == {"jobs": {"j1": JOB}}
    assert stored.as_of == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("project", "user"), [(PROJECT, "user-b"), ("http://other", USER)], ids=["user", "project"]
)
def test_rows_of_someone_else_are_erased_from_the_file_when_it_changes_hands(
    tmp_path: Path, project: str, user: str
) -> None:
    """Not by looking: whoever looks may be nobody (SYNC-24)."""
    path = tmp_path / "p.db"
    filled(path)
    store = SqliteStore(path)
    store.open(PROJECT, USER)
    store.remember(b"salt", b"proof")
    assert store.open(project, user).tables == {}
    store.close()
    store = SqliteStore(path)
    assert store.open(PROJECT, USER).tables == {"jobs": {"j1": JOB}}
    assert store.open(project, user).tables == {}
    store.claim(project, user)
    assert store.recall(PROJECT, b"proof") is None
    store.close()
    assert b"secret-title" not in path.read_bytes()
    assert SqliteStore(path).open(PROJECT, USER).tables == {}


def test_a_claim_of_the_owner_changes_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "p.db")
    store = SqliteStore(tmp_path / "p.db")
    store.open(PROJECT, USER)
    store.claim(PROJECT, USER)
    store.commit(commit(2, {**JOB, "id": "j2"}))
    assert set(store.open(PROJECT, USER).tables["jobs"]) == {"j1", "j2"}


def test_rows_of_an_older_schema_are_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    filled(path)
    with sqlite3.connect(path) as raw:
        raw.execute(f"pragma user_version = {SCHEMA_VERSION - 1}")
    raw.close()
    assert SqliteStore(path).open(PROJECT, USER).tables == {}


def test_a_store_of_a_newer_sdk_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    filled(path)
    with sqlite3.connect(path) as raw:
        raw.execute(f"pragma user_version = {SCHEMA_VERSION + 1}")
    raw.close()
    with pytest.raises(StoreUnusableError, match="newer version"):
        SqliteStore(path).lock()
    assert b"secret-title" in path.read_bytes()


def test_a_second_portal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    first = SqliteStore(path)
    first.lock()
    with pytest.raises(StoreLockedError, match="another process"):
        SqliteStore(path).lock()
    first.close()
    SqliteStore(path).open(PROJECT, USER)


def test_the_lock_of_another_process_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    program = (
        "import sys\nfrom portal_sdk._store import SqliteStore\n"
        "SqliteStore(sys.argv[1]).lock(); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(StoreLockedError):
            SqliteStore(path).lock()
        other.kill()
        other.wait()
    SqliteStore(path).lock()


def test_a_foreign_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    with sqlite3.connect(path) as raw:
        raw.execute("create table accounts (id)")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnusableError, match="another application"):
        SqliteStore(path).lock()
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(b"not a database at all" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreUnusableError, match="give this portal its own file"):
        SqliteStore(path).lock()
    assert path.read_bytes() == before


@pytest.mark.parametrize("page", [2, 3])
def test_a_damaged_store_is_put_aside_and_begun_anew(tmp_path: Path, page: int) -> None:
    path = tmp_path / "p.db"
    filled(path)
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(data)
    store = SqliteStore(path)
    assert store.open(PROJECT, USER).tables == {}
    store.claim(PROJECT, USER)
    store.commit(commit(2, JOB))
    store.close()
    assert SqliteStore(path).open(PROJECT, USER).n == 2
    assert path.with_name("p.db.damaged").read_bytes() == bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        "body = cast('{' as blob)",
        "body = cast(replace(body, 'secret', 'Secret') as blob)",
        "hash = hash + 1",
        "row_id = 'j2'",
        "body = 'text'",
        "hash = 'text'",
    ],
)
def test_a_row_that_is_not_what_was_written_is_damage(tmp_path: Path, damage: str) -> None:
    """Rows are parsed when they are read first; the checksum proves them all at the start."""
    path = tmp_path / "p.db"
    filled(path)
    with sqlite3.connect(path) as raw:
        raw.execute(f"update rows set {damage}")
    raw.close()
    assert SqliteStore(path).open(PROJECT, USER).tables == {}


def test_what_the_store_knows_of_its_rows_is_what_reading_them_shows(tmp_path: Path) -> None:
    """Digest and columns come from the file without a look at the rows, and are the same."""
    store = SqliteStore(tmp_path / "p.db")
    store.open(PROJECT, USER)
    store.claim(PROJECT, USER)
    rows = [{"id": f"j{i}", "version": i, "title": "é"} for i in range(50)]
    store.commit(commit(1, *rows, {"id": "odd", "wide": 1}))
    store.commit(commit(2, {**rows[3], "version": 60}, removes=(("jobs", "j4"),)))
    store.close()
    stored = SqliteStore(tmp_path / "p.db").open(PROJECT, USER)
    by_reading = Replica()
    by_reading.load("e", 2, {"jobs": dict(stored.tables["jobs"].items())})
    lazily = Replica()
    lazily.load("e", 2, stored.tables, stored.known)
    assert lazily.digest_of("jobs") == by_reading.digest_of("jobs")
    assert lazily.digest_of("jobs")[0] == 50
    assert lazily.shapes == by_reading.shapes
    assert by_reading.shapes == {"jobs": {("id", "version", "title"), ("id", "wide")}}


def test_the_columns_of_rows_that_were_all_read_anew_are_the_new_ones(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "p.db")
    store.open(PROJECT, USER)
    store.claim(PROJECT, USER)
    store.commit(commit(1, {"id": "j1", "old": 1}))
    store.commit(commit(2, everything={"jobs": {"j1": {"id": "j1", "new": 1}}}))
    store.commit(commit(3, {"id": "j2", "new": 1}))
    store.close()
    assert SqliteStore(tmp_path / "p.db").open(PROJECT, USER).known["jobs"].shapes == {
        ("id", "new")
    }


def test_an_upgrade_reads_the_rows_anew_and_keeps_the_unsent_writes(tmp_path: Path) -> None:
    """The server has the rows; nobody else has the writes."""
    path = tmp_path / "p.db"
    filled(path)
    store = SqliteStore(path)
    store.open(PROJECT, USER)
    SqliteOutbox(store.database).save("owner", ENTRY)
    with store.database() as connection:
        connection.execute(f"pragma user_version = {SCHEMA_VERSION - 1}")
    store.close()
    again = SqliteStore(path)
    assert again.open(PROJECT, USER).tables == {}
    assert SqliteOutbox(again.database).load("owner") == [ENTRY]


def test_a_full_disk_keeps_the_last_commit(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    filled(path)
    store = SqliteStore(path)
    store.open(PROJECT, USER)
    assert store._connection is not None
    (pages,) = store._connection.execute("pragma page_count").fetchone()
    store._connection.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(StoreError, match="full"):
        store.commit(commit(2, *({"id": str(i), "text": "x" * 2000} for i in range(50))))
    store.close()
    stored = SqliteStore(path).open(PROJECT, USER)
    assert (stored.n, stored.tables) == (1, {"jobs": {"j1": JOB}})


def test_a_folder_that_is_missing_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusableError, match=r"there is no folder .*make it"):
        SqliteStore(tmp_path / "missing" / "p.db").lock()


def test_a_purge_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    filled(path)
    store = SqliteStore(path)
    store.open(PROJECT, USER)
    store.purge()
    store.close()
    assert b"secret-title" not in path.read_bytes()
    assert SqliteStore(path).open(PROJECT, USER).epoch is None


def test_only_the_remembered_login_recalls_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    filled(path)
    store = SqliteStore(path)
    assert store.salt(PROJECT) is None
    store.remember(b"salt", b"proof")
    assert store.salt(PROJECT) == b"salt"
    assert store.salt("http://other") is None
    assert store.recall(PROJECT, b"wrong") is None
    assert store.recall("http://other", b"proof") is None
    found = store.recall(PROJECT, b"proof")
    assert found is not None
    assert (found[0], found[1].n) == (USER, 1)


def test_a_write_that_cannot_be_read_does_not_hold_back_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another version may have written it; it stays in the file, and is said."""
    store = SqliteStore(tmp_path / "p.db")
    store.lock()
    outbox = SqliteOutbox(store.database)
    outbox.save("owner", ENTRY)
    insert = "insert into outbox values (?, 'owner', 0, ?)"
    with store.database() as connection:
        connection.executemany(insert, [("odd", '{"write": {}}'), ("broken", "{")])
        assert outbox.load("owner") == [ENTRY]
        assert "2 unsent writes cannot be read" in caplog.text
        assert connection.execute("select count(*) from outbox").fetchone() == (3,)


def test_a_new_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Under the usual mask, too; the mode of a file that exists is the user's own choice."""
    path, before = tmp_path / "p.db", os.umask(0o022)
    try:
        store = SqliteStore(path)
        store.open(PROJECT, USER)
        store.claim(PROJECT, USER)
        store.commit(commit(1, JOB))
        assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
        store.close()
    finally:
        os.umask(before)
    path.chmod(0o640)
    filled(path)
    assert path.stat().st_mode & 0o777 == 0o640
