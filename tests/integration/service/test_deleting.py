"""Rows leave by soft delete."""

from uuid import uuid4

import pytest

from crm_service.invoices.schemas import InvoiceCreate, InvoiceItem
from crm_service.jobs.schemas import JobCreate
from crm_service.messages.schemas import MessageCreate
from tests.support.crm import assert_problem, stored
from tests.support.personas import AGENT, customer_id

OTHER, PRICE = customer_id(2), {"unit_price_cents": 100}


@pytest.fixture
def headers(sign_in):
    return {"Authorization": f"Bearer {sign_in(AGENT)}"}


async def test_a_deleted_job_leaves_the_lists(agent, customer, http, headers):
    """It is still there for those who ask for the deleted ones; a repeat changes nothing."""
    job = await agent.create_job(JobCreate(customer_id=customer.id, title="Boiler"))
    path = f"/v1/jobs/{job.id}"
    for _ in range(2):
        response = await http.delete(path, headers=headers)
        assert response.status_code == 200
        assert response.json()["deleted_at"]
        assert response.headers["etag"] == '"2"'
    query = {"customer_id": str(customer.id)}
    assert (await http.get("/v1/jobs", params=query, headers=headers)).json()["items"] == []
    listed = await http.get("/v1/jobs", params={**query, "deleted": "true"}, headers=headers)
    assert [item["id"] for item in listed.json()["items"]] == [str(job.id)]


async def test_a_stale_delete_is_refused(agent, customer, http, headers):
    """Whoever deletes says what they saw."""
    job = await agent.create_job(JobCreate(customer_id=customer.id, title="Boiler"))
    response = await http.delete(f"/v1/jobs/{job.id}", headers={**headers, "If-Match": '"7"'})
    assert assert_problem(response, 412, "stale-version")["current"]["version"] == 1
    assert (await agent.get_job(job.id)).deleted_at is None


async def test_a_message_is_taken_back_at_its_version(agent, customer, http, headers):
    """Staff may not lock what they sent, and yet say what they saw."""
    sent = await agent.post_message(MessageCreate(customer_id=customer.id, body="Oops"))
    path, key = f"/v1/messages/{sent.id}", {"Idempotency-Key": str(uuid4())}
    response = await http.delete(path, headers={**headers, "If-Match": '"7"'})
    assert assert_problem(response, 412, "stale-version")["current"]["body"] == "Oops"
    for replayed in (None, "true"):
        response = await http.delete(path, headers={**headers, **key, "If-Match": '"1"'})
        assert (response.status_code, response.headers["etag"]) == (200, '"2"')
        assert response.headers.get("idempotency-replayed") == replayed


@pytest.mark.parametrize("kind", ["customers", "jobs", "messages", "invoices"])
async def test_an_unknown_row_is_404(http, headers, kind):
    """With and without a version."""
    for more in ({}, {"If-Match": '"1"'}):
        response = await http.delete(f"/v1/{kind}/{uuid4()}", headers={**headers, **more})
        assert_problem(response, 404, "not-found")


async def test_only_messages_of_staff_are_taken_back(agent, customer, http, headers, rest):
    """A customer's words are not ours to delete."""
    sent = await agent.post_message(MessageCreate(customer_id=customer.id, body="Oops"))
    assert (await http.delete(f"/v1/messages/{sent.id}", headers=headers)).status_code == 200
    query = {"sender": "eq.customer", "deleted_at": "is.null", "limit": "1"}
    (theirs,) = (await rest.get("/messages", params=query)).json()
    response = await http.delete(f"/v1/messages/{theirs['id']}", headers=headers)
    assert_problem(response, 422, "rule-refused")


async def test_a_job_is_moved_to_another_customer(agent, customer, http, headers):
    """It belongs to the other one afterwards."""
    job = await agent.create_job(JobCreate(customer_id=customer.id, title="Boiler"))
    response = await http.post(
        f"/v1/jobs/{job.id}/move", json={"customer_id": OTHER}, headers=headers
    )
    assert response.status_code == 200
    assert response.json()["customer_id"] == OTHER


async def test_what_was_deleted_stays_as_it_is(agent, customer, http, headers, rest):
    """Whoever still has it open is told; restored, it goes on."""
    job = await agent.create_job(JobCreate(customer_id=customer.id, title="Boiler"))
    lines = [InvoiceItem(description="Work", unit_price_cents=100)]
    invoice = await agent.create_invoice(InvoiceCreate(customer_id=customer.id, items=lines))
    seen = {**headers, "If-Match": "*"}
    steps = [
        ("jobs", job, "PATCH", "", {"title": "Heating"}),
        ("jobs", job, "POST", "/cancel", None),
        ("jobs", job, "POST", "/schedule", {"scheduled_start": "2026-12-01T09:00:00Z"}),
        ("invoices", invoice, "PATCH", "", {"notes": "?"}),
        ("invoices", invoice, "POST", "/send", None),
        ("jobs", job, "POST", "/move", {"customer_id": OTHER}),
        ("jobs", job, "POST", "/assign", {"assigned_to": AGENT.uid}),
        ("jobs", job, "POST", "/unassign", None),
        ("invoices", invoice, "POST", "/move", {"customer_id": OTHER}),
        ("invoices", invoice, "PUT", "/items", {"items": [{"description": "?"} | PRICE]}),
        ("customers", customer, "PATCH", "", {"phone": "1"}),
    ]
    for kind, row in (("jobs", job), ("invoices", invoice), ("customers", customer)):
        assert (await http.delete(f"/v1/{kind}/{row.id}", headers=headers)).status_code == 200
    stale = {**headers, "If-Match": '"1"'}
    moves = [(*step, stale) for step in steps if step[3] in {"/move", "/items"}]
    for kind, row, method, step, body, headed in [*((*step, seen) for step in steps), *moves]:
        path = f"/v1/{kind}/{row.id}"
        before = await stored(rest, kind, row.id)
        response = await http.request(method, path + step, json=body, headers=headed)
        problem = assert_problem(response, 409, "conflict")
        assert f"/v1/history/{kind}/{row.id}/restore" in problem["detail"]
        assert await stored(rest, kind, row.id) == before, path + step
    (made,) = (await http.get(f"/v1/history/jobs/{job.id}?limit=2", headers=headers)).json()[
        "entries"
    ][1:]
    path = f"/v1/history/jobs/{job.id}/restore"
    assert (await http.post(path, json={"change_id": made["id"]}, headers=headers)).is_success
    assert (await http.post(f"/v1/jobs/{job.id}/cancel", headers=headers)).is_success
