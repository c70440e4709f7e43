"""A store that fails is said, harms nothing that is shown, and is made whole again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portal_sdk import StoreError, StoreLockedError
from portal_sdk._runtime import store_keeper
from portal_sdk._store import SqliteStore
from tests.support.waiting import eventually


async def test_a_full_disk_is_said_and_later_made_good(
    account: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_keeper, "STORE_RETRY_S", 0.0)
    path = tmp_path / "portal.db"
    async with account.portal(store=path) as portal:
        await portal.ready()
        store = portal._store
        assert isinstance(store, SqliteStore)
        assert store._connection is not None
        (pages,) = store._connection.execute("pragma page_count").fetchone()
        store._connection.execute(f"pragma max_page_count = {pages}")
        jobs = [await account.add_job("x" * 190) for _ in range(60)]
        await eventually(lambda: len(portal.jobs) == 60)
        await eventually(lambda: isinstance(portal.status.last_error, StoreError))
        assert portal.status.state == "live"
        store._connection.execute("pragma max_page_count = 100000")
        await account.rename_job(jobs[0], "room again")
        await eventually(lambda: portal.status.last_error is None)
        shown = dict(portal._core.replica.tables["jobs"])
        n = portal._core.replica.n
    stored = SqliteStore(path)
    rows = stored.open(account.stack.api_url, account.user_id)
    assert (rows.n, rows.tables["jobs"]) == (n, shown)
    stored.close()


async def test_a_second_portal_on_the_same_file_is_refused(account: Any, tmp_path: Path) -> None:
    path = tmp_path / "portal.db"
    async with account.portal(store=path) as portal:
        await portal.ready()
        with pytest.raises(StoreLockedError, match="its own file"):
            async with account.portal(store=path):
                pass
        assert portal.status.state == "live"
