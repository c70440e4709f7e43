"""A store that cannot be read or written is said, left alone, and holds up nothing."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portal_sdk import (
    StoreError,
    StoreUnusableError,
)
from portal_sdk._store import SqliteStore
from portal_sdk._store.outbox import SqliteOutbox
from portal_sdk.testing import FakeProject
from tests.support.waiting import eventually

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user of this machine can enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """Nobody may write the file and its folder; root may everything, so be nobody for a while."""
    user = os.geteuid()
    if path.exists():
        path.chmod(0o444)
    path.parent.chmod(0o555)
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)
        path.parent.chmod(0o755)


@pytest.mark.parametrize("exists", [True, False])
async def test_a_store_that_cannot_be_written_is_said_and_left_alone(
    folder: Path, exists: bool
) -> None:
    project = FakeProject()
    jo = project.add_customer()
    path = folder / "portal.db"
    if exists:
        async with project.portal(jo, store=path) as portal:
            await portal.ready()
    before = _content(path)
    with unwritable(path), pytest.raises(StoreUnusableError, match="make the folder writable"):
        await project.portal(jo, store=path).__aenter__()
    assert _content(path) == before


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("none/portal.db", "there is no folder .*none; make it"),
        (".", "it is a folder; name a file in it"),
        ("diary.txt", "left as it is; give this portal its own file"),
    ],
)
async def test_a_path_that_is_no_store_is_told_apart(
    tmp_path: Path, name: str, advice: str
) -> None:
    """Nobody is advised to delete a file that is not ours."""
    (tmp_path / "diary.txt").write_text("Dear diary, " * 100)
    project = FakeProject()
    with pytest.raises(StoreUnusableError, match=advice) as caught:
        await project.portal(project.add_customer(), store=tmp_path / name).__aenter__()
    assert "delete" not in str(caught.value)
    assert (tmp_path / "diary.txt").read_text().startswith("Dear diary")


async def test_a_full_disk_is_in_the_status_also_when_only_writes_meet_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write is kept before it is shown; what happens to it afterwards may not be."""
    project = FakeProject()
    jo = project.add_customer()
    async with project.portal(jo, store=tmp_path / "p.db") as portal:
        await portal.ready()
        sent = await portal.messages.send("kept")

        def full(*_arguments: Any) -> None:
            raise StoreError("no space")

        monkeypatch.setattr(SqliteOutbox, "_write", full)
        with pytest.raises(StoreError, match="no space"):
            await portal.messages.send("not kept")
        await sent.synced(timeout_s=5)
        assert [message.body for message in portal.messages] == ["kept"]
        assert isinstance(portal.status.last_error, StoreError)


async def test_rows_that_could_not_be_erased_are_erased_at_the_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SYNC-18: the disk was full when access was taken away; nothing may stay in the file."""
    project = FakeProject()
    jo = project.add_customer(name="Jo Secret")
    path = tmp_path / "p.db"
    async with project.portal(jo, store=path) as portal:
        await portal.ready()
        real = SqliteStore.purge

        def full(_self: SqliteStore) -> None:
            raise StoreError("no space")

        monkeypatch.setattr(SqliteStore, "purge", full)
        project.faults.http_status = 403
        project.update(jo, "customers", jo.id, phone="1")
        await eventually(lambda: len(portal.profile) == 0)
        monkeypatch.setattr(SqliteStore, "purge", real)
    assert b"Jo Secret" not in path.read_bytes()


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
