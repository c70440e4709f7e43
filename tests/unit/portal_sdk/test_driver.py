"""What the driver saves itself - a turn of the loop, a timer - changes nothing that can be seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portal_sdk._core import events as ev
from portal_sdk._core.session import PortalCore
from portal_sdk._runtime.driver import Driver
from portal_sdk._runtime.http import HttpAnswer, HttpRequest
from portal_sdk.config import PortalConfig
from portal_sdk.errors import RequestTimeoutError
from portal_sdk.testing import FakeProject
from portal_sdk.testing.portal import FakePortal
from tests.support.waiting import eventually

LATEST_S = 5.0
"""Well before any other timer of a portal at rest would wake it."""


class SlowProject(FakeProject):
    """Pulls wait while ``is_open`` is not set."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.pull_count = 0

    async def respond(self, request: HttpRequest) -> HttpAnswer:
        if request.path.endswith("portal_pull"):
            self.pull_count += 1
            await self.is_open.wait()
        return await super().respond(request)


@asynccontextmanager
async def live(**config: Any) -> AsyncIterator[tuple[SlowProject, Any, FakePortal, Driver]]:
    """A portal at rest, whose driver sleeps."""
    project = SlowProject()
    jo = project.add_customer()
    async with project.portal(jo, config=PortalConfig(**config)) as portal:
        await portal.ready()
        driver = portal._driver
        assert driver is not None
        await eventually(lambda: driver._is_asleep)
        yield project, jo, portal, driver


def rang(driver: Driver, n: int) -> ev.DoorbellRang:
    return ev.DoorbellRang(driver._core.connection.generation, driver._core.replica.epoch, n)


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> list[ev.Event]:
    """What the core was given, in order."""
    seen: list[ev.Event] = []
    real = PortalCore.handle

    def handle(core: PortalCore, event: ev.Event, now: float) -> Any:
        seen.append(event)
        return real(core, event, now)

    monkeypatch.setattr(PortalCore, "handle", handle)
    return seen


# Facts that are handled where they arrive.


async def test_a_ring_is_acted_on_without_a_turn_of_the_loop() -> None:
    async with live() as (project, jo, _portal, driver):
        project.is_open.clear()
        project.insert(jo, "jobs", title="new")
        assert driver._core.sync.state == "pulling"
        project.is_open.set()


async def test_what_arrives_stays_behind_what_was_posted(handled: list[ev.Event]) -> None:
    async with live() as (_project, _jo, _portal, driver):
        handled.clear()
        n = driver._core.replica.n
        first, second = rang(driver, n - 1), rang(driver, n)
        driver.post(first)
        driver.arrive(second)
        assert handled == []
        await eventually(lambda: len(handled) == 2)
        assert handled == [first, second]


async def test_the_deadline_of_what_arrived_is_kept() -> None:
    """SYNC-15: the ring is handled while the driver sleeps, and no answer to its pull comes."""
    async with live(lag_grace_s=0.05) as (project, jo, portal, _driver):
        stream = portal.statuses()
        project.is_open.clear()
        project.insert(jo, "jobs", title="new")
        async with asyncio.timeout(LATEST_S):
            assert (await anext(stream)).state == "catching_up"
        project.is_open.set()
        async with asyncio.timeout(LATEST_S):
            assert (await anext(stream)).state == "live"


async def test_more_than_can_be_told_at_once_is_told_to_the_end() -> None:
    async with live(pull_limit=5000, lag_grace_s=3600.0) as (project, jo, portal, _driver):
        stream = portal.changes()
        project.faults.loses_doorbells = True
        for number in range(1200):
            project.insert(jo, "jobs", title=str(number))
        project.faults.loses_doorbells = False
        project.ring(jo.id)
        async with asyncio.timeout(LATEST_S):
            titles = [(await anext(stream)).record.title for _ in range(1200)]
        assert titles == [str(number) for number in range(1200)]


async def test_a_bug_met_by_what_arrives_ends_the_portal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It must not vanish in the task that brought the ring."""
    async with live() as (project, jo, portal, driver):

        def broken(*_arguments: Any) -> Any:
            raise ZeroDivisionError

        monkeypatch.setattr(driver._core.sync, "handle", broken)
        project.insert(jo, "jobs", title="new")
        await eventually(lambda: portal.status.state == "closed")
        assert "Internal error: ZeroDivisionError" in str(portal.status.last_error)
    assert "because of a bug in the SDK" in caplog.text


async def test_every_answer_moves_the_time_of_the_status() -> None:
    """It is worked out for who reads it, and nobody is told: the state is the same."""
    async with live() as (project, jo, portal, _driver):
        stream = portal.statuses()
        before = portal.status
        heard = portal.changes()
        project.insert(jo, "jobs", title="new")
        await anext(heard)
        await eventually(lambda: portal.status != before)
        assert before.fresh_as_of is not None
        assert portal.status.fresh_as_of is not None
        assert portal.status.fresh_as_of > before.fresh_as_of
        assert (portal.status.state, portal.status.since) == (before.state, before.since)
        portal.pause()
        assert (await anext(stream)).state == "offline"


async def test_a_closed_portal_leaves_no_timer_behind() -> None:
    """One that still waited would keep the portal, and all its rows, in memory."""
    async with live() as (_project, _jo, _portal, driver):
        alarms = driver._alarm, driver._reader._limit._alarm
        assert [alarm._timer is None for alarm in alarms] == [False, False]
    assert [alarm._timer is None for alarm in alarms] == [True, True]


# One task for pull after pull.


def pulling(driver: Driver) -> set[asyncio.Task[None]]:
    return {task for task in driver._tasks if task.get_name() == "portal-pull"}


async def test_one_task_pulls_change_after_change_also_after_it_was_late() -> None:
    async with live(request_timeout_s=0.2) as (project, jo, portal, driver):
        stream = portal.changes()
        project.insert(jo, "jobs", title="first")
        async with asyncio.timeout(LATEST_S):
            await anext(stream)
        (task,) = pulling(driver)
        project.is_open.clear()
        project.insert(jo, "jobs", title="late")
        await eventually(lambda: isinstance(portal.status.last_error, RequestTimeoutError))
        project.is_open.set()
        for number in range(5):
            project.insert(jo, "jobs", title=str(number))
        async with asyncio.timeout(LATEST_S):
            titles = [(await anext(stream)).record.title for _ in range(6)]
        assert titles == ["late", "0", "1", "2", "3", "4"]
        await eventually(lambda: pulling(driver) == {task})


async def test_a_pull_waits_for_no_answer_that_does_not_count_any_more() -> None:
    """SYNC-4: the answer of before the pause hangs, and hangs no one else."""
    async with live() as (project, jo, portal, driver):
        project.insert(jo, "jobs", title="old")
        await eventually(lambda: len(portal.jobs) == 1)
        project.is_open.clear()
        before = project.pull_count
        project.insert(jo, "jobs", title="new")
        await eventually(lambda: project.pull_count > before)
        (old,) = pulling(driver)
        closed, project.is_open = project.is_open, asyncio.Event()
        project.is_open.set()
        portal.pause()
        portal.resume()
        await eventually(lambda: len(portal.jobs) == 2 and portal.status.state == "live")
        assert old in pulling(driver)
        closed.set()
        await eventually(lambda: len(pulling(driver)) == 1)


async def test_a_closed_portal_leaves_no_task_that_waits_for_an_order() -> None:
    async with live() as (project, jo, portal, driver):
        project.insert(jo, "jobs", title="new")
        await eventually(lambda: len(portal.jobs) == 1)
        tasks = pulling(driver)
        assert len(tasks) == 1
    assert all(task.done() for task in tasks)
