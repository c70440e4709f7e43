"""Rows of another version of the database are shown as they come; what is none is said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from portal_sdk.testing import FakeProject
from tests.support.waiting import eventually


async def test_rows_with_unknown_missing_and_odd_columns_are_shown(caplog: Any) -> None:
    """Each column that fits has its type; the rest is as it came, and is named once in the log."""
    project = FakeProject()
    jo = project.add_customer()
    ids = [
        project.insert(
            jo, "jobs", title=7, colour="red", scheduled_start="2026-01-01T10:00:00Z",
            scheduled_end="tomorrow",
        )
        for _ in range(2)
    ]  # fmt: skip
    feed = project._feeds[jo.id]
    for job_id in ids:
        del feed.tables["jobs"][job_id]["customer_id"]
    async with project.portal(jo) as portal:
        await portal.ready()
        for job in portal.jobs:
            assert str(job.id) in ids
            assert job.scheduled_start == datetime(2026, 1, 1, 10, tzinfo=UTC)
            assert (job.title, job.scheduled_end, job.customer_id) == (7, "tomorrow", None)
            assert job.colour == "red"
        assert portal.status.state == "live"
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "customer_id, title, scheduled_end" in warnings[0]
    assert "tomorrow" not in warnings[0]


async def test_a_row_without_an_id_is_said_and_the_rows_stay() -> None:
    project = FakeProject()
    jo = project.add_customer()
    project.insert(jo, "jobs", title="Boiler")
    async with project.portal(jo) as portal:
        await portal.ready()
        project._feeds[jo.id].put("jobs", {"id": "x", "title": "odd", "version": 1})
        project._feeds[jo.id].log[-1]["row"] = {"title": "odd"}
        project.ring(jo.id)
        await eventually(lambda: portal.status.last_error is not None)
        assert "migrations match this SDK version" in str(portal.status.last_error)
        assert portal.status.state != "live"
        assert [job.title for job in portal.jobs] == ["Boiler"]
