"""Who changed what; diffs; putting rows back."""

from uuid import uuid4

import pytest

from crm_service.customers.schemas import CustomerUpdate
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
