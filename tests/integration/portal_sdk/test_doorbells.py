"""The second doorbell, the choice between them, and a start without a network."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from portal_sdk import PasswordAuth, Portal, PortalConfig, ReadyTimeoutError
from portal_sdk._runtime.rest import DatabaseApi
from tests.support.waiting import eventually, never


def with_settings(config: PortalConfig, **settings: Any) -> PortalConfig:
    return dataclasses.replace(config, **settings)


async def test_entries_that_come_with_the_ring_need_no_read(
    account: Any, quick: PortalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On postgres_changes the rows arrive by socket, once, in order, and no pull is sent."""
    config = with_settings(quick, doorbells=("postgres_changes",), verify_interval_s=30.0)
    job_id = await account.add_job("0")
    async with account.portal(config=config) as portal:
        await portal.ready()
        assert portal.status.doorbell == "postgres_changes"
        await eventually(lambda: portal._core.sync.state == "current")
        pulls: list[Any] = []
        real = DatabaseApi.pull

        async def counted(*arguments: Any, **more: Any) -> Any:
            pulls.append(arguments)
            return await real(*arguments, **more)

        monkeypatch.setattr(DatabaseApi, "pull", counted)
        stream = portal.jobs.changes()
        for number in range(1, 11):
            await account.rename_job(job_id, str(number))
        seen = [await asyncio.wait_for(anext(stream), 10) for _ in range(10)]
        assert [change.record.title for change in seen] == [str(n) for n in range(1, 11)]
        assert [change.previous.title for change in seen] == [str(n) for n in range(10)]
        assert len(pulls) <= 1  # one at most, for what was on its way during the join


async def test_a_deaf_broadcast_is_left_for_the_other_doorbell_and_found_again(
    account: Any, quick: PortalConfig
) -> None:
    """Two deaf broadcasts in a row: postgres_changes; when broadcasts work again, they are back."""
    config = with_settings(quick, doorbell_return_s=2.0)
    job_id = await account.add_job("0")
    async with account.portal(config=config) as portal:
        await portal.ready()
        account.stack.faults.lose_doorbells = True
        number = 0

        async def writes_until_changed() -> bool:
            nonlocal number
            number += 1
            await account.rename_job(job_id, str(number))
            return portal.status.doorbell == "postgres_changes"

        await eventually(writes_until_changed, 20)
        account.stack.faults.lose_doorbells = False
        await eventually(lambda: portal.status.doorbell == "broadcast", 20)
        await account.rename_job(job_id, "back")
        await eventually(lambda: portal.jobs[job_id].title == "back")
        await eventually(lambda: portal.status.state == "live")


async def test_without_doorbells_the_portal_polls_and_is_live(
    account: Any, quick: PortalConfig
) -> None:
    async with account.portal(config=with_settings(quick, doorbells=())) as portal:
        await portal.ready()
        assert portal.status.doorbell == "polling"
        job_id = await account.add_job("a")
        await eventually(lambda: job_id in portal.jobs)


async def stored(account: Any, path: Path) -> Any:
    job_id = await account.add_job("kept")
    async with account.portal(store=path) as portal:
        await portal.ready()
        await eventually(lambda: b"proof" in path.read_bytes() + wal(path))
        assert portal.status.fresh_as_of is not None
    return job_id


def wal(path: Path) -> bytes:
    log = path.with_name(path.name + "-wal")
    return log.read_bytes() if log.exists() else b""


async def test_a_start_without_a_network_shows_the_stored_rows_honestly(
    account: Any, tmp_path: Path
) -> None:
    """The same login sees what it saw last, as offline, and of when; reading works at once."""
    path = tmp_path / "portal.db"
    job_id = await stored(account, path)
    auth = PasswordAuth(account.email, "portal-demo")
    key = account.stack.keys.publishable
    # Another address is another project: nothing of this one may show there.
    async with Portal("http://127.0.0.1:9", key, auth=auth, store=path) as portal:
        await never(lambda: len(portal.jobs) > 0, 0.5)
    job_id = await stored(account, path)
    account.stack.faults.http_refuse = 503
    account.stack.faults.refuse_connects = 503
    async with account.portal(store=path) as portal:
        await eventually(lambda: job_id in portal.jobs)
        with pytest.raises(ReadyTimeoutError):
            await portal.ready(timeout_s=0.3)
        assert portal.status.state == "offline"
        assert portal.status.fresh_as_of is not None
        assert portal.status.doorbell == "none"
        account.stack.faults.reset()
        await eventually(lambda: portal.status.state == "live", 20)


async def test_a_wrong_password_without_a_network_shows_nothing(
    account: Any, tmp_path: Path
) -> None:
    """Whoever cannot prove to be the last user does not see the rows."""
    path = tmp_path / "portal.db"
    await stored(account, path)
    account.stack.faults.http_refuse = 503
    auth = PasswordAuth(account.email, "wrong")
    async with account.portal(store=path, auth=auth) as portal:
        await never(lambda: len(portal.jobs) > 0, 0.7)
