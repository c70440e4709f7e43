"""From entering to closing: what a portal says of itself, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from portal_sdk import (
    PortalClosedError,
    StateError,
)
from portal_sdk._runtime import releases, tokens
from portal_sdk._store import SqliteStore
from portal_sdk.testing import FakeProject
from tests.support.waiting import eventually


async def test_what_a_portal_prints_names_no_data() -> None:
    project = FakeProject()
    jo = project.add_customer(name="Jo")
    project.insert(jo, "jobs", title="Boiler")
    async with project.portal(jo) as portal:
        await portal.ready()
        assert repr(portal.jobs) == "<Jobs jobs: 1 rows>"
        assert repr(portal).endswith(" live>")


async def test_after_closing_rows_stay_and_everything_else_says_so() -> None:
    project = FakeProject()
    jo = project.add_customer()
    project.insert(jo, "jobs", title="Boiler")
    portal = project.portal(jo)
    with pytest.raises(PortalClosedError, match="Enter the portal"):
        await portal.ready()
    with pytest.raises(PortalClosedError):
        portal.pause()
    async with portal:
        await portal.ready()
    await portal.close()
    assert [job.title for job in portal.jobs] == ["Boiler"]
    assert (portal.customer.name, portal.status.state) == ("Jo", "closed")
    assert [change async for change in portal.changes()] == []
    assert [change async for change in portal.jobs.view().changes()] == []
    for use in (portal.pause, portal.resume):
        with pytest.raises(PortalClosedError):
            use()
    for late in (
        portal.ready(), portal.messages.send("x"), portal.jobs.request("x"),
        portal.loyalty.redeem(1, reason="x"), portal.profile.update(phone="1"),
    ):  # fmt: skip
        with pytest.raises(PortalClosedError):
            await late
    for room in (portal.presence, portal.broadcast):
        with pytest.raises(PortalClosedError):
            room("lobby")
    with pytest.raises(StateError, match="entered once"):
        await portal.__aenter__()


@pytest.mark.spec("CONN-14")
async def test_closed_is_final_also_before_entering() -> None:
    project = FakeProject()
    jo = project.add_customer()
    portal = project.portal(jo)
    statuses, changes = portal.statuses(), portal.jobs.changes()
    for _ in range(2):
        await portal.close()
    assert portal.status.state == "closed"
    assert [status.state async for status in statuses] == ["closed"]
    assert [change async for change in changes] == []
    with pytest.raises(PortalClosedError, match="make a new one"):
        await portal.__aenter__()
    with pytest.raises(PortalClosedError, match="make a new one"):
        await portal.ready()

    def script() -> None:
        plain = project.blocking_portal(jo)
        for _ in range(2):
            plain.close()
        assert plain.status.state == "closed"
        with pytest.raises(PortalClosedError, match="make a new one"):
            plain.__enter__()
        with pytest.raises(PortalClosedError, match="open a new one"):
            plain.ready()

    await asyncio.to_thread(script)


async def test_two_portals_in_one_loop_do_not_know_of_each_other() -> None:
    project = FakeProject()
    jo, ann = project.add_customer("jo@example.com"), project.add_customer("ann@example.com")
    project.insert(jo, "jobs", title="of Jo")
    project.insert(ann, "jobs", title="of Ann")
    async with project.portal(jo) as first:
        async with project.portal(ann) as second:
            await asyncio.gather(first.ready(), second.ready())
            heard = second.changes()
            await (await first.jobs.request("new")).synced()
            assert [job.title for job in second.jobs] == ["of Ann"]
            project.insert(ann, "jobs", title="too")
            assert (await anext(heard)).record.title == "too"
        assert first.status.state == "live"
        assert {job.title for job in first.jobs} == {"of Jo", "new"}


async def test_a_cancellation_at_any_moment_leaves_no_task_and_a_sound_store(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """Cancelled after each number of turns of the loop, from entering to closing."""
    monkeypatch.setattr(tokens._PasswordSession, "prove", lambda _self, _salt: b"p" * 32)
    project = FakeProject()
    jo = project.add_customer()
    job_id = project.insert(jo, "jobs", title="Boiler")
    store = tmp_path / "portal.db"
    ours = asyncio.all_tasks()

    async def session(number: int) -> None:
        async with project.portal(jo, store=store) as portal:
            await portal.ready()
            stream = portal.changes()
            sent = await portal.messages.send(f"message {number}")
            await sent.synced()
            await anext(stream)
            project.update(jo, "jobs", job_id, title=f"title {number}")
            await anext(stream)

    turns, was_cancelled = 0, True
    while was_cancelled:
        task = asyncio.create_task(session(turns))
        for _ in range(turns):
            await asyncio.sleep(0)
        was_cancelled = not task.done() and task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for _ in range(10):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == ours, f"a task is left after {turns} turns"
        turns += 1
    assert turns > 10, "the session was not cancelled at its later moments"
    async with project.portal(jo, store=store) as portal:
        await portal.ready()
        for write in list(portal.outbox):
            await write.synced()
        await eventually(
            lambda: (
                {str(m.id) for m in portal.messages}
                == {row["id"] for row in project.rows(jo, "messages")}
            )
        )
        bodies = [message.body for message in portal.messages]
        assert len(bodies) == len(set(bodies)), "a message was sent twice"


async def test_a_store_can_be_opened_again_at_once_when_closing_was_cancelled(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """After each number of turns of the loop; the next portal waits for the release."""
    monkeypatch.setattr(tokens._PasswordSession, "prove", lambda _self, _salt: b"p" * 32)
    project = FakeProject()
    jo = project.add_customer()
    store, turns, was_cancelled = tmp_path / "portal.db", 1, True
    while was_cancelled:
        portal = project.portal(jo, store=store)
        await portal.__aenter__()
        await portal.ready()
        await portal.messages.send(f"message {turns}")
        closing = asyncio.create_task(portal.close())
        for _ in range(turns):
            await asyncio.sleep(0)
        was_cancelled = not closing.done() and closing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await closing
        async with project.portal(jo, store=store) as again:
            assert portal.status.state == "closed"
            await again.ready()
        turns += 1
    assert turns > 3, "closing was not cancelled at its later moments"
    assert releases._closing == {}


async def test_nobody_waits_long_for_a_release_nor_for_one_of_another_loop(tmp_path: Path) -> None:
    """Then it is said that the file is in use, as for another process."""
    store = SqliteStore(tmp_path / "portal.db")
    stuck = asyncio.create_task(asyncio.sleep(60))
    releases.note_release(store, stuck)  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        await releases.wait_for_release(store, 0.01)

    async def elsewhere() -> None:
        await releases.wait_for_release(store, 60)

    async with asyncio.timeout(5):
        await asyncio.to_thread(asyncio.run, elsewhere())
    stuck.cancel()
    await asyncio.wait([stuck])
