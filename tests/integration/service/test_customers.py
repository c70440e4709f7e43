"""Customers through the service, in the real database."""

from uuid import uuid4

import pytest

from crm_service.customers.schemas import CustomerCreate, CustomerUpdate
from crm_service.errors import CrmProblemError
from tests.support.crm import assert_problem, stored
from tests.support.personas import AGENT, staff_uid


async def test_a_created_customer_is_stored_as_sent(agent, rest):
    """Every field reaches the database; the answer is the row."""
    body = CustomerCreate(
        id=uuid4(),
        name="Grace Hopper",
        email="grace@example.com",
        phone="+1 202 555 0100",
        address="1 Navy Yard",
        branch="east",
        preferences={"newsletter": True, "languages": ["en"]},
    )
    created = await agent.create_customer(body)
    assert created.id == body.id
    assert created.version == 1
    row = await stored(rest, "customers", created.id)
    for column, value in body.columns().items():
        assert row[column] == value
    assert await agent.get_customer(created.id) == created


async def test_a_change_touches_only_what_was_sent(agent, customer):
    """PATCH changes the named fields, clears nulls and raises the version."""
    changed = await agent.update_customer(
        customer.id, CustomerUpdate(phone="1", email=None), version=1
    )
    assert (changed.phone, changed.email, changed.name) == ("1", None, customer.name)
    assert changed.version == 2


async def test_the_write_is_recorded_as_the_member_of_staffs_own(agent, rest, http, sign_in):
    """The database knows who did it and under which request id."""
    headers = {
        "Authorization": f"Bearer {sign_in(AGENT)}",
        "X-Request-Id": f"req-{uuid4()}",
    }
    response = await http.post("/v1/customers", json={"name": "Ada"}, headers=headers)
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/customers/{response.json()['id']}"
    query = {"table_name": "eq.customers", "row_id": f"eq.{response.json()['id']}"}
    (entry,) = (await rest.get("/activity_log", params=query)).json()
    assert entry["actor"] == staff_uid(3)
    assert entry["actor_kind"] == "staff"
    assert entry["request_id"] == headers["X-Request-Id"]


async def test_an_unknown_customer_is_404(agent):
    """For reading and for changing."""
    for call in (
        agent.get_customer(uuid4()),
        agent.update_customer(uuid4(), CustomerUpdate(name="B"), version=1),
    ):
        with pytest.raises(CrmProblemError) as caught:
            await call
        assert (caught.value.status, caught.value.code) == (404, "not-found")


async def test_a_stale_change_is_refused_with_the_row_as_it_is(agent, customer, http, sign_in):
    """If-Match answers 412, a version in the body 409; both carry the row, nothing is lost."""
    await agent.update_customer(customer.id, CustomerUpdate(name="First"), version=1)
    path = f"/v1/customers/{customer.id}"
    auth = {"Authorization": f"Bearer {sign_in(AGENT)}"}
    answers = [
        await http.patch(path, json={"name": "Second"}, headers={**auth, "If-Match": '"1"'}),
        await http.patch(path, json={"name": "Second", "version": 1}, headers=auth),
    ]
    for response, status, code in zip(
        answers, (412, 409), ("stale-version", "stale-version"), strict=True
    ):
        problem = assert_problem(response, status, code)
        assert problem["current"]["name"] == "First"
        assert problem["current"]["version"] == 2
        assert response.headers["etag"] == '"2"'
    assert (await agent.get_customer(customer.id)).name == "First"


async def test_the_etag_of_a_read_is_accepted_by_the_change(customer, http, sign_in):
    """Read, send the tag back, done."""
    auth = {"Authorization": f"Bearer {sign_in(AGENT)}"}
    path = f"/v1/customers/{customer.id}"
    etag = (await http.get(path, headers=auth)).headers["etag"]
    response = await http.patch(path, json={"name": "New"}, headers={**auth, "If-Match": etag})
    assert response.status_code == 200
    assert response.headers["etag"] == '"2"'


async def test_a_repeated_change_is_answered_and_not_refused(agent, customer):
    """The first answer was lost: the same change again finds its own effect."""
    body = CustomerUpdate(name="Lost answer")
    first = await agent.update_customer(customer.id, body, version=1)
    again = await agent.update_customer(customer.id, body, version=1)
    assert again == first


async def test_a_change_without_a_version_is_asked_for_one(customer, http, sign_in):
    """428 says how."""
    response = await http.patch(
        f"/v1/customers/{customer.id}",
        json={"name": "B"},
        headers={"Authorization": f"Bearer {sign_in(AGENT)}"},
    )
    assert "If-Match" in assert_problem(response, 428, "version-required")["detail"]


async def test_a_column_that_staff_may_not_set_is_an_unknown_field(http, sign_in):
    """The portal sign-in is linked elsewhere."""
    response = await http.post(
        "/v1/customers",
        json={"name": "A", "portal_user_id": str(uuid4())},
        headers={"Authorization": f"Bearer {sign_in(AGENT)}"},
    )
    problem = assert_problem(response, 422, "invalid-request")
    assert [error["field"] for error in problem["errors"]] == ["body.portal_user_id"]
