"""Who changed what; diffs; putting rows back."""

from uuid import UUID, uuid4

import asyncpg
import pytest

from crm_service.customers.schemas import CustomerUpdate
from crm_service.jobs.schemas import JobCreate
from tests.support.crm import assert_problem
from tests.support.personas import ADMIN, AGENT, MANAGER, staff_uid


@pytest.fixture
def ask(http, sign_in):
    async def ask(persona, method, path, body=None, **headers):
        auth = {"Authorization": f"Bearer {sign_in(persona)}", **headers}
        return await http.request(method, f"/v1/{path}", json=body, headers=auth)

    return ask


@pytest.fixture
async def edited(agent, manager, customer):
    """A customer with three versions."""
    await agent.update_customer(customer.id, CustomerUpdate(phone="1", branch="n"), version=1)
    await manager.update_customer(customer.id, CustomerUpdate(phone="2"), version=2)
    return customer


async def test_the_history_tells_who_when_and_what(ask, edited):
    """Newest first, page by page."""
    path = f"history/customers/{edited.id}"
    history = (await ask(AGENT, "GET", path)).json()
    assert [entry["version"] for entry in history["entries"]] == [3, 2, 1]
    newest = history["entries"][0]
    assert (newest["actor"], newest["op"]) == (MANAGER.uid, "update")
    assert (newest["old"], newest["new"]) == ({"phone": "1"}, {"phone": "2"})
    page = (await ask(AGENT, "GET", f"{path}?limit=2")).json()
    rest = (await ask(AGENT, "GET", f"{path}?before_id={page['next_before_id']}")).json()
    assert page["entries"] + rest["entries"] == history["entries"]


async def test_the_last_page_is_known_to_be_the_last(ask, edited):
    """Also one that is just full; nobody has to fetch an empty one behind it."""
    path = f"history/customers/{edited.id}"
    page = (await ask(AGENT, "GET", f"{path}?limit=3")).json()
    assert (len(page["entries"]), page["next_before_id"]) == (3, None)
    page = (await ask(AGENT, "GET", f"{path}?limit=2")).json()
    assert page["next_before_id"] == page["entries"][-1]["id"]


async def test_the_history_of_staff_is_for_admins(ask):
    """Others are not told that nothing ever happened."""
    path = f"history/staff/{staff_uid(2)}"
    assert (await ask(ADMIN, "GET", path)).json()["entries"]
    for call in (path, f"{path}/diff?from_version=0"):
        assert_problem(await ask(MANAGER, "GET", call), 404, "not-found")


async def test_a_row_that_was_erased_keeps_its_versions(ask, agent, customer, stack):
    """How it ended is in the history; what it was can still be compared."""
    job = await agent.create_job(JobCreate(customer_id=customer.id, title="Boiler"))
    connection = await asyncpg.connect(stack.database_url)
    await connection.execute("delete from jobs where id = $1", job.id)
    await connection.close()
    history = (await ask(AGENT, "GET", f"history/jobs/{job.id}")).json()
    assert [entry["op"] for entry in history["entries"]] == ["delete", "insert"]
    path = f"history/jobs/{job.id}/diff?from_version=0"
    difference = (await ask(AGENT, "GET", path)).json()
    assert (difference["to_version"], difference["fields"]["title"]["new"]) == (1, "Boiler")


async def test_many_versions_are_compared_to_the_last(ask, agent, customer, stack):
    """Not to the thousandth."""
    connection = await asyncpg.connect(stack.database_url)
    await connection.execute(
        """do $$ begin for i in 1..2100 loop
        update customers set phone = i::text where id = %L; end loop; end $$""".replace(
            "%L", f"'{customer.id}'"
        )
    )
    await connection.close()
    path = f"history/customers/{customer.id}/diff?from_version=1"
    difference = (await ask(AGENT, "GET", path)).json()
    assert difference["to_version"] == 2101
    assert difference["fields"] == {"phone": {"old": None, "new": "2100"}}


async def test_two_versions_are_compared(ask, edited):
    """Any two; the latest is the default."""
    path = f"history/customers/{edited.id}/diff?from_version="
    difference = (await ask(AGENT, "GET", f"{path}1")).json()
    assert difference["to_version"] == 3
    assert difference["fields"] == {
        "phone": {"old": None, "new": "2"},
        "branch": {"old": None, "new": "n"},
    }
    step = (await ask(AGENT, "GET", f"{path}2&to_version=3")).json()
    assert step["fields"] == {"phone": {"old": "1", "new": "2"}}
    assert_problem(await ask(AGENT, "GET", f"{path}3"), 404, "not-found")
    assert_problem(await ask(AGENT, "GET", f"{path}3&to_version=2"), 422, "invalid-request")


async def test_a_row_is_put_back_by_a_new_change(ask, edited, agent):
    """The change is recorded as the caller's own; what came after stays in the history."""
    path = f"history/customers/{edited.id}"
    entries = (await ask(AGENT, "GET", path)).json()["entries"]
    body = {"change_id": entries[-1]["id"], "version": 3}
    response = await ask(AGENT, "POST", f"{path}/restore", body)
    assert response.status_code == 200
    assert response.headers["etag"] == '"4"'
    assert set(response.json()["restored"]) == {"phone", "branch"}
    row = await agent.get_customer(edited.id)
    assert (row.phone, row.branch, row.version) == (None, None, 4)
    after = (await ask(AGENT, "GET", path)).json()["entries"]
    assert after[0]["actor"] == AGENT.uid
    assert after[1:] == entries


async def test_a_stale_or_unknown_restore_is_refused(ask, edited):
    """With the row as it is."""
    path = f"history/customers/{edited.id}"
    entries = (await ask(AGENT, "GET", path)).json()["entries"]
    body = {"change_id": entries[-1]["id"], "version": 2}
    problem = assert_problem(
        await ask(AGENT, "POST", f"{path}/restore", body), 409, "stale-version"
    )
    assert problem["current"]["version"] == 3
    unknown = {"change_id": 1, "version": 3}
    assert_problem(await ask(AGENT, "POST", f"{path}/restore", unknown), 404, "not-found")


async def test_who_may_not_write_a_row_may_not_restore_it(ask, agent, manager, customer, rest):
    """Forbidden, with and without the version, and not a conflict to be tried again."""
    job = await agent.create_job(JobCreate(customer_id=customer.id, title="Boiler"))
    for user in (3, 2):
        await manager.assign_job(job.id, UUID(staff_uid(user)))
    path = f"history/job_assignments/{job.id}"
    first = (await ask(AGENT, "GET", path)).json()["entries"][-1]["id"]
    for version in ({}, {"version": 2}):
        body = {"change_id": first, **version}
        assert_problem(await ask(AGENT, "POST", f"{path}/restore", body), 403, "forbidden")
    (row,) = (await rest.get("/job_assignments", params={"job_id": f"eq.{job.id}"})).json()
    assert (row["assigned_to"], row["version"]) == (MANAGER.uid, 2)
    stale = {"change_id": first, "version": 1}
    assert_problem(await ask(AGENT, "POST", f"{path}/restore", stale), 409, "stale-version")


async def test_a_repeated_restore_has_one_effect(ask, edited):
    """By its key."""
    path = f"history/customers/{edited.id}"
    entries = (await ask(AGENT, "GET", path)).json()["entries"]
    body = {"change_id": entries[-1]["id"]}
    key = {"Idempotency-Key": str(uuid4())}
    first = await ask(AGENT, "POST", f"{path}/restore", body, **key)
    again = await ask(AGENT, "POST", f"{path}/restore", body, **key)
    assert (first.json()["row"]["version"], again.json()["row"]["version"]) == (4, 4)


async def test_an_unknown_row_has_no_history(ask):
    """And a table that keeps none is not a table of this call."""
    assert_problem(await ask(AGENT, "GET", f"history/jobs/{uuid4()}"), 404, "not-found")
    assert_problem(await ask(AGENT, "GET", f"history/secrets/{uuid4()}"), 422, "invalid-request")


async def test_the_timeline_of_a_customer_holds_everything(ask, edited):
    """Across tables, newest first, in pages."""
    job = {"customer_id": str(edited.id), "title": "Boiler"}
    await ask(AGENT, "POST", "jobs", job)
    path = f"customers/{edited.id}/timeline"
    items = (await ask(AGENT, "GET", path)).json()["items"]
    assert [item["table_name"] for item in items] == ["jobs", *["customers"] * 3]
    page = (await ask(AGENT, "GET", f"{path}?limit=3")).json()
    rest = (await ask(AGENT, "GET", f"{path}?before_id={page['next_before_id']}")).json()
    assert page["items"] + rest["items"] == items
    for query, found in (
        ("table=jobs", items[:1]),
        ("op=update", [item for item in items if item["op"] == "update"]),
        (f"actor={AGENT.uid}&op=insert", [i for i in items if i["op"] == "insert"]),
        (f"since={items[0]['at']}".replace("+", "%2B"), items[:1]),
        (f"until={items[0]['at']}".replace("+", "%2B"), items[1:]),
        ("since=2199-01-01T00:00:00Z", []),
    ):
        filtered = (await ask(AGENT, "GET", f"{path}?{query}")).json()["items"]
        by_agent = [i for i in found if "actor=" not in query or i["actor"] == AGENT.uid]
        assert filtered == by_agent, query
    assert_problem(await ask(AGENT, "GET", f"customers/{uuid4()}/timeline"), 404, "not-found")


async def test_the_activity_feed_is_filtered(ask, edited):
    """By actor, table, operation, request; rows about staff are for admins."""
    query = f"customer_id={edited.id}&actor={staff_uid(2)}&op=update"
    (entry,) = (await ask(AGENT, "GET", f"activity?{query}")).json()["items"]
    assert entry["new"] == {"phone": "2"}
    assert (await ask(AGENT, "GET", "activity?table=staff")).json()["items"] == []
    assert (await ask(ADMIN, "GET", "activity?table=staff")).json()["items"]


async def test_a_member_of_staff_is_put_back_by_an_admin(ask, stack):
    """As a new change; others are refused, and nobody puts back their own role."""
    uid = staff_uid(4)
    path = f"history/staff/{uid}"
    first = (await ask(ADMIN, "GET", path)).json()["entries"][-1]["id"]
    changes = {"full_name": "Somebody", "active": True, "role": "manager"}
    changed = await ask(ADMIN, "PATCH", f"staff/{uid}", changes, **{"If-Match": "*"})
    assert changed.status_code == 200
    body = {"change_id": first}
    assert_problem(await ask(MANAGER, "POST", f"{path}/restore", body), 403, "forbidden")
    key = {"Idempotency-Key": str(uuid4())}
    for replayed in (None, "true"):
        answer = await ask(ADMIN, "POST", f"{path}/restore", body, **key)
        assert answer.status_code == 200
        assert answer.headers.get("idempotency-replayed") == replayed
        restored = answer.json()
        assert (restored["restored"], restored["not_restored"]) == (sorted(changes), [])
    connection = await asyncpg.connect(stack.database_url)
    row = await connection.fetchrow("select * from staff where user_id = $1", uid)
    await connection.close()
    assert row is not None
    assert (row["active"], row["role"]) == (False, "agent")
    assert row["version"] == changed.json()["version"] + 1
