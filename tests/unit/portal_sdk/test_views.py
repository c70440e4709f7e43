"""Derived views equal the table filtered, sorted and grouped anew, whatever happens to it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from portal_sdk import ConfigurationError, Job, Portal
from portal_sdk.testing import FakeProject
from portal_sdk.testing.project import FakeCustomer
from tests.support.waiting import eventually

STATUSES = ("requested", "scheduled", "completed")


class Desk:
    """One customer's portal and the staff who change things."""

    def __init__(self) -> None:
        self.project = FakeProject()
        self.jo: FakeCustomer = self.project.add_customer()
        self.portal: Portal = self.project.portal(self.jo)

    def add(self, title: str, status: str = "requested") -> str:
        return self.project.insert(self.jo, "jobs", title=title, status=status)

    def edit(self, job_id: str, **columns: Any) -> None:
        self.project.update(self.jo, "jobs", job_id, **columns)

    async def caught_up(self) -> None:
        rows = {row["id"]: row["version"] for row in self.project.rows(self.jo, "jobs")}
        await eventually(lambda: {str(j.id): j.version for j in self.portal.jobs} == rows)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    async with made.portal:
        await made.portal.ready()
        yield made


def is_open(job: Job) -> bool:
    return job.status != "completed"


def title_of(job: Job) -> str:
    return job.title


async def test_a_view_follows_every_kind_of_change(desk: Desk) -> None:
    """Random inserts, updates, removals and resyncs: each view equals the table sorted anew."""
    jobs, chance = desk.portal.jobs, random.Random(7)
    view = jobs.view(is_open, sort_key=title_of, reverse=True, limit=5)
    plain = jobs.view()
    groups = jobs.group_by(lambda job: job.status, sort_key=title_of)
    ids: list[str] = []
    for step in range(120):
        pick = chance.randrange(6)
        if pick < 3 or not ids:
            ids.append(desk.add(f"{chance.randrange(50):02}", chance.choice(STATUSES)))
        elif pick < 5:
            columns = {"title": f"{chance.randrange(50):02}", "status": chance.choice(STATUSES)}
            desk.edit(chance.choice(ids), **columns)
        elif step % 20 == 5:
            desk.project.break_continuity(desk.jo)
        else:
            desk.project.remove(desk.jo, "jobs", ids.pop(chance.randrange(len(ids))))
        if step % 3 == 0:
            await desk.caught_up()
            wanted = sorted(jobs, key=lambda job: (job.title, str(job.id)), reverse=True)
            assert list(view) == [job for job in wanted if is_open(job)][:5]
            assert sorted(plain, key=lambda job: str(job.id)) == list(plain)
            assert len(plain) == len(jobs)
            assert {key: len(group) for key, group in groups.items()} == {
                status: len(jobs.where(status=status))
                for status in STATUSES
                if jobs.where(status=status)
            }


async def test_a_view_made_before_the_first_snapshot_has_its_rows_afterwards() -> None:
    desk = Desk()
    desk.add("Boiler")
    view = desk.portal.jobs.view()
    assert len(view) == 0
    async with desk.portal:
        await desk.portal.ready()
        assert [job.title for job in view] == ["Boiler"]


async def test_a_view_shows_local_writes_at_once(desk: Desk) -> None:
    view = desk.portal.jobs.view(sort_key=title_of)
    assert list(view) == []
    await desk.portal.jobs.request("Tap")
    assert [job.title for job in view] == ["Tap"]


async def test_only_what_changed_is_looked_at_again(desk: Desk) -> None:
    ids = [desk.add(f"{number:03}") for number in range(100)]
    await desk.caught_up()
    looks: list[str] = []

    def note(job: Job) -> bool:
        looks.append(job.title)
        return True

    view = desk.portal.jobs.view(note)
    assert len(view) == 100
    looks.clear()
    desk.edit(ids[3], title="new")
    await desk.caught_up()
    assert len(view) == 100
    assert looks == ["new"]


async def test_changes_of_a_view_say_what_enters_and_what_leaves(desk: Desk) -> None:
    view = desk.portal.jobs.view(is_open)
    stream = view.changes()
    heard: list[str] = []

    @view.on_change
    async def note(change: Any) -> None:
        heard.append(change.kind)

    closed = desk.add("old", "completed")
    job_id = desk.add("Boiler")
    desk.edit(job_id, title="Pump")
    desk.edit(job_id, status="completed")
    desk.edit(closed, status="scheduled")
    await desk.caught_up()  # of what is removed unseen nothing is told
    desk.project.remove(desk.jo, "jobs", closed)
    kinds = [(await anext(stream)).kind for _ in range(5)]
    assert kinds == ["insert", "update", "delete", "insert", "delete"]
    await eventually(lambda: heard == kinds)
    await stream.aclose()


async def test_a_function_that_raises_harms_only_its_reader(desk: Desk) -> None:
    job_id = desk.add("Boiler")
    await desk.caught_up()
    is_bad = False

    def choosy(job: Job) -> bool:
        if is_bad:
            raise ZeroDivisionError
        return True

    view = desk.portal.jobs.view(choosy)
    assert len(view) == 1
    is_bad = True
    desk.edit(job_id, title="Pump")
    await desk.caught_up()
    with pytest.raises(ZeroDivisionError):
        len(view)
    is_bad = False
    assert [job.title for job in view] == ["Pump"]
    assert desk.portal.status.state == "live"


async def test_rows_without_a_sort_key_come_last(desk: Desk) -> None:
    for title, start in (("b", None), ("c", "2026-01-02T00:00:00Z"), ("a", "2026-01-01T00:00:00Z")):
        desk.project.insert(desk.jo, "jobs", title=title, scheduled_start=start)
    await desk.caught_up()
    view = desk.portal.jobs.view(sort_key=lambda job: job.scheduled_start)
    assert [job.title for job in view] == ["a", "c", "b"]
    assert view[0].title == "a"
    assert [job.title for job in view[1:]] == ["c", "b"]


async def test_what_is_no_function_is_refused_with_what_to_do() -> None:
    jobs = FakeProject().portal(FakeProject().add_customer()).jobs
    with pytest.raises(ConfigurationError, match="where must be a function"):
        jobs.view("status")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="sort_key must be a function"):
        jobs.view(sort_key="title")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="limit"):
        jobs.view(limit=0)
    with pytest.raises(ConfigurationError, match="key must be a function"):
        jobs.group_by("status")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="callback"):
        jobs.view().on_change("print")  # type: ignore[type-var]
