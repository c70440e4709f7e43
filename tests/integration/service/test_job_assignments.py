"""Who does which job: staff see it, customers never do."""

from uuid import UUID, uuid4

import httpx
import pytest

from crm_service.customers.schemas import CustomerCreate
from crm_service.errors import CrmProblemError
from crm_service.history.schemas import Restore
from crm_service.jobs.schemas import JobCreate, JobUpdate
from tests.support.crm import assert_problem
from tests.support.personas import ADMIN, AGENT, CUSTOMER_A, INACTIVE, MANAGER

AGENT_ID, MANAGER_ID, INACTIVE_ID = (UUID(who.uid) for who in (AGENT, MANAGER, INACTIVE))


@pytest.fixture
async def job(agent, customer):
    """A job that nobody does."""
    return await agent.create_job(JobCreate(customer_id=customer.id, title="Boiler"))


async def refused(call):
    with pytest.raises(CrmProblemError) as caught:
        await call
    return caught.value.status, caught.value.code


async def test_agents_take_free_jobs_and_give_their_own_back(agent, manager, job):
    """Managers assign anybody; nobody takes a job from a colleague but they."""
    assert (job.assigned_to, (await agent.get_job_assignment(job.id)).version) == (None, 0)
    taken = await agent.assign_job(job.id, AGENT_ID, version=0)
    assert (taken.assigned_to, taken.version) == (AGENT_ID, 1)
    assert (await agent.get_job(job.id)).assigned_to == AGENT_ID
    assert await agent.assign_job(job.id, AGENT_ID) == taken, "repeating changes nothing"
    assert await refused(agent.assign_job(job.id, MANAGER_ID)) == (403, "forbidden")
    assert (await agent.unassign_job(job.id)).assigned_to is None
    assert await refused(agent.assign_job(job.id, MANAGER_ID)) == (403, "forbidden")
    assert (await manager.assign_job(job.id, MANAGER_ID)).assigned_to == MANAGER_ID
    for call in (agent.assign_job(job.id, AGENT_ID), agent.unassign_job(job.id)):
        assert await refused(call) == (403, "forbidden")
    # Changing the job itself keeps and shows who does it.
    edited = await agent.update_job(job.id, JobUpdate(title="Two boilers"), version=job.version)
    assert edited.assigned_to == MANAGER_ID
    assert (await agent.cancel_job(job.id)).assigned_to == MANAGER_ID
    assert (await agent.delete_job(job.id)).assigned_to == MANAGER_ID
    assert await refused(manager.unassign_job(job.id)) == (409, "conflict")


async def test_a_stale_assignment_is_refused_with_the_current_one(agent, manager, job):
    """Two dispatchers do not undo each other's decision unseen."""
    await manager.assign_job(job.id, MANAGER_ID, version=0)
    for version in (0, 7):
        with pytest.raises(CrmProblemError) as caught:
            await manager.assign_job(job.id, AGENT_ID, version=version)
        assert (caught.value.status, caught.value.code) == (412, "stale-version")
        assert caught.value.problem["current"]["assigned_to"] == str(MANAGER_ID)


async def test_only_active_staff_and_known_jobs_are_accepted(manager, job):
    """Refused by the database, told as a problem."""
    assert await refused(manager.assign_job(job.id, INACTIVE_ID)) == (422, "rule-refused")
    assert await refused(manager.assign_job(job.id, uuid4())) == (409, "unknown-reference")
    assert await refused(manager.assign_job(uuid4(), MANAGER_ID)) == (404, "not-found")
    assert await refused(manager.get_job_assignment(uuid4())) == (404, "not-found")
    assert (await manager.get_job_assignment(job.id)).version == 0


async def test_jobs_are_filtered_by_who_does_them(agent, manager, customer, job):
    """Somebody, me, nobody; pages go on."""
    create = JobCreate(customer_id=customer.id, title="Roof")
    mine, returned = [await agent.create_job(create) for _ in range(2)]
    await manager.assign_job(job.id, MANAGER_ID)
    for own in (mine, returned):
        await agent.assign_job(own.id, AGENT_ID)
    query = {"customer_id": customer.id, "limit": 1}
    first = await agent.list_jobs(**query, assigned_to="me")
    second = await agent.list_jobs(**query, assigned_to="me", cursor=first.next_cursor)
    assert [*first.items, *second.items] == [
        await agent.get_job(returned.id),
        await agent.get_job(mine.id),
    ]
    assert second.next_cursor is None
    await agent.unassign_job(returned.id)
    for who, expected in (("nobody", returned), ("me", mine), (MANAGER_ID, job)):
        found = await agent.list_jobs(**query, assigned_to=who)
        assert [item.id for item in found.items] == [expected.id], who
        assert found.next_cursor is None


async def test_the_assignment_has_a_history_and_moves_with_its_job(acting, agent, customer, job):
    """Who gave it to whom; restored as a new change, in the other customer's timeline."""
    admin = acting(ADMIN)
    await agent.assign_job(job.id, AGENT_ID)
    other = await agent.create_customer(CustomerCreate(name="Grace Hopper"))
    moved = await agent.move_job(job.id, other.id)
    assert moved.assigned_to == AGENT_ID
    await admin.unassign_job(job.id)
    history = await admin.get_history("job_assignments", job.id)
    assert history.entries[0].new == {"assigned_to": None}
    assert str(history.entries[0].actor) == ADMIN.uid
    await admin.restore("job_assignments", job.id, Restore(change_id=history.entries[-1].id))
    assert (await agent.get_job(job.id)).assigned_to == AGENT_ID
    timeline = await agent.get_timeline(other.id)
    assert [entry.table_name for entry in timeline.items[:2]] == ["job_assignments"] * 2


async def test_repeating_an_assignment_with_its_key_has_one_effect(http, sign_in, job):
    """Also when somebody has changed it in between."""
    headers = {"Authorization": f"Bearer {sign_in(MANAGER)}"}
    keyed = {**headers, "Idempotency-Key": str(uuid4())}
    url, body = f"/v1/jobs/{job.id}/assign", {"assigned_to": str(AGENT_ID)}
    first = await http.post(url, json=body, headers=keyed)
    assert first.json()["assigned_to"] == str(AGENT_ID)
    await http.post(f"/v1/jobs/{job.id}/unassign", headers=headers)
    copy = await http.post(url, json=body, headers=keyed)
    assert (copy.status_code, copy.headers["Idempotency-Replayed"]) == (200, "true")
    assert (copy.json()["assigned_to"], copy.json()["version"]) == (None, 2)
    other = await http.post(url, json={"assigned_to": str(MANAGER_ID)}, headers=keyed)
    assert_problem(other, 422, "idempotency-key-reused")


async def test_customers_see_nothing_of_it(stack, sign_in, http, agent, manager):
    """Neither the table nor their feed says who comes."""
    mine = await agent.create_job(JobCreate(customer_id=CUSTOMER_A.customer, title="Secretly"))
    await manager.assign_job(mine.id, MANAGER_ID)

    headers = {
        "apikey": stack.keys.publishable,
        "Authorization": f"Bearer {sign_in(CUSTOMER_A)}",
    }
    async with httpx.AsyncClient(
        base_url=f"{stack.api_url}/rest/v1", headers=headers, trust_env=False
    ) as rest:
        assert (await rest.get("/job_assignments")).json() == []
        query = {"select": "id,job_assignments(*)", "id": f"eq.{mine.id}"}
        assert (await rest.get("/jobs", params=query)).json() == [
            {"id": str(mine.id), "job_assignments": None}
        ]
        scope = {"scope": f"customer:{CUSTOMER_A.customer}"}
        assert "assign" not in (await rest.post("/rpc/portal_snapshot", json=scope)).text
        log = await rest.get(
            "/sync_changes", params={"select": "row", "scope": f"eq.{scope['scope']}"}
        )
        assert "Secretly" in log.text
        assert "assign" not in log.text
        call = await rest.post("/rpc/assign_job", json={"job_id": str(mine.id)})
        assert call.status_code == 403
