"""Jobs through the service, in the real database."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from crm_service.errors import CrmProblemError
from crm_service.jobs.schemas import JobCreate, JobSchedule, JobUpdate

START = datetime(2026, 12, 1, 9, tzinfo=UTC)
SLOT = JobSchedule(scheduled_start=START, scheduled_end=START + timedelta(hours=2))
LATER = JobSchedule(scheduled_start=START + timedelta(days=1))


@pytest.fixture
async def job(agent, customer):
    """A requested job."""
    return await agent.create_job(JobCreate(customer_id=customer.id, title="Boiler"))


async def test_a_job_runs_through_its_life(agent, job):
    """Requested, scheduled, rescheduled, started, completed; each step is one version."""
    assert job.status == "requested"
    scheduled = await agent.schedule_job(job.id, SLOT, version=job.version)
    assert scheduled.status == "scheduled"
    assert scheduled.scheduled_end == SLOT.scheduled_end
    moved = await agent.reschedule_job(job.id, LATER, version=scheduled.version)
    assert (moved.scheduled_start, moved.scheduled_end) == (LATER.scheduled_start, None)
    started = await agent.start_job(job.id)
    assert started.started_at is not None
    done = await agent.complete_job(job.id)
    assert (done.status, done.version) == ("completed", 5)
    assert done.completed_at is not None


@pytest.mark.parametrize("ending", [("start", "complete"), ("cancel",)])
async def test_only_what_lies_ahead_is_rescheduled(agent, job, ending):
    """The time of a job that is done is what happened, and a cancelled one has no other."""
    await agent.schedule_job(job.id, SLOT)
    for step in ending:
        await getattr(agent, f"{step}_job")(job.id)
    before = await agent.get_job(job.id)
    with pytest.raises(CrmProblemError) as refused:
        await agent.reschedule_job(job.id, LATER)
    assert refused.value.code == "rule-refused"
    assert await agent.get_job(job.id) == before


async def test_a_started_job_can_be_put_off(agent, job):
    """It is scheduled again, as the states of the database allow."""
    await agent.schedule_job(job.id, SLOT)
    await agent.start_job(job.id)
    moved = await agent.reschedule_job(job.id, LATER)
    assert (moved.status, moved.scheduled_start) == ("scheduled", LATER.scheduled_start)


async def test_a_job_with_a_start_is_created_scheduled(agent, customer):
    """One call schedules a new job."""
    created = await agent.create_job(
        JobCreate(customer_id=customer.id, title="Boiler", scheduled_start=START)
    )
    assert created.status == "scheduled"
    assert [job.id for job in (await agent.list_jobs(customer_id=customer.id)).items] == [
        created.id
    ]


async def test_a_job_can_be_cancelled_and_edited(agent, job):
    """Edits need the version; cancelling does not."""
    edited = await agent.update_job(job.id, JobUpdate(title="Two boilers"), version=1)
    assert edited.title == "Two boilers"
    cancelled = await agent.cancel_job(job.id)
    assert cancelled.status == "cancelled"
    assert cancelled.cancelled_at is not None


async def test_a_repeated_step_changes_nothing(agent, job):
    """Cancelling twice is answered with the cancelled job."""
    first = await agent.cancel_job(job.id)
    assert await agent.cancel_job(job.id) == first


async def test_a_step_that_the_rules_forbid_says_why(agent, job):
    """The database's explanation reaches the caller."""
    await agent.cancel_job(job.id)
    with pytest.raises(CrmProblemError) as caught:
        await agent.complete_job(job.id)
    assert (caught.value.status, caught.value.code) == (422, "rule-refused")
    assert "cancelled" in caught.value.detail


async def test_an_end_before_the_start_is_refused(agent, job):
    """A CHECK of the database, told without quoting the row."""
    backwards = JobSchedule(scheduled_start=START, scheduled_end=START - timedelta(hours=1))
    with pytest.raises(CrmProblemError) as caught:
        await agent.schedule_job(job.id, backwards)
    assert caught.value.code == "rule-refused"
    assert "Boiler" not in caught.value.detail


async def test_a_stale_step_is_refused(agent, job):
    """A step based on an old version does not undo a colleague's."""
    await agent.schedule_job(job.id, SLOT)
    with pytest.raises(CrmProblemError) as caught:
        await agent.reschedule_job(job.id, LATER, version=1)
    assert caught.value.status == 412
    assert caught.value.problem["current"]["status"] == "scheduled"


async def test_a_job_of_an_unknown_customer_is_refused(agent):
    """A reference to nobody is a conflict."""
    with pytest.raises(CrmProblemError) as caught:
        await agent.create_job(JobCreate(customer_id=uuid4(), title="Boiler"))
    assert (caught.value.status, caught.value.code) == (409, "unknown-reference")


async def test_jobs_are_filtered_by_status(agent, customer, job):
    """Filters combine."""
    await agent.cancel_job(job.id)
    query = {"customer_id": customer.id}
    assert (await agent.list_jobs(**query, status="cancelled")).items[0].id == job.id
    assert (await agent.list_jobs(**query, status="requested")).items == []
