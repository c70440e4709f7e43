"""Nothing new is written for a deleted customer; what stands there may be changed."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from crm_service.calls.schemas import CallCreate
from crm_service.customers.schemas import CustomerCreate
from crm_service.errors import CrmProblemError
from crm_service.invoices.schemas import InvoiceCreate, InvoiceItem
from crm_service.jobs.schemas import JobCreate
from tests.support.crm import assert_problem
from tests.support.personas import AGENT

WRITES = [
    ("jobs", {"title": "Boiler"}),
    ("invoices", {"items": [{"description": "x", "unit_price_cents": 5}]}),
    ("messages", {"body": "Hi"}),
    ("calls", {"direction": "inbound"}),
    ("loyalty/award", {"points": 5}),
    ("loyalty/bonus", {"points": 5}),
]


@pytest.fixture
def post(http, sign_in):
    headers = {"Authorization": f"Bearer {sign_in(AGENT)}"}

    async def post(path, body, method="POST", **more):
        return await http.request(method, f"/v1/{path}", json=body, headers={**headers, **more})

    return post


@pytest.mark.parametrize(("path", "body"), WRITES, ids=[path for path, _ in WRITES])
async def test_a_new_row_is_refused_with_a_problem_of_its_own(post, agent, customer, path, body):
    """Also repeated with a key; restored, the customer gets the row."""
    await agent.delete_customer(customer.id)
    sent = {"customer_id": str(customer.id), **body}
    key = {"Idempotency-Key": str(uuid4())}
    for headers in ({}, key, key):
        problem = assert_problem(await post(path, sent, **headers), 409, "customer-deleted")
        assert "Restore the customer first" in problem["detail"]
        assert customer.name not in str(problem)
    history = await post(f"history/customers/{customer.id}", None, "GET")
    made = history.json()["entries"][-1]["id"]
    restored = await post(f"history/customers/{customer.id}/restore", {"change_id": made})
    assert restored.status_code == 200, restored.text
    assert (await post(path, sent, **key)).status_code == 201


async def test_a_lead_and_its_notes_are_refused(post, agent, customer):
    """A new lead, and a note about one that stands there; the lead itself may be won."""
    lead = f"customers/{customer.id}/lead"
    other = await agent.create_customer(CustomerCreate(name="Bea"))
    assert (await post(lead, {})).status_code == 201
    for gone in (customer, other):
        await agent.delete_customer(gone.id)
    assert_problem(await post(f"customers/{other.id}/lead", {}), 409, "customer-deleted")
    assert_problem(await post(f"{lead}/notes", {"body": "x"}), 409, "customer-deleted")
    assert (await post(f"{lead}/convert", None)).status_code == 200


async def test_what_stands_there_may_be_changed(agent, customer):
    """A job is done, a late payment recorded."""
    job = await agent.create_job(JobCreate(customer_id=customer.id, title="Boiler"))
    item = InvoiceItem(description="x", unit_price_cents=5)
    made = InvoiceCreate(customer_id=customer.id, job_id=job.id, items=[item])
    invoice = await agent.send_invoice((await agent.create_invoice(made)).id)
    await agent.delete_customer(customer.id)
    assert (await agent.cancel_job(job.id)).status == "cancelled"
    assert (await agent.pay_invoice(invoice.id)).status == "paid"


async def test_no_row_is_moved_to_a_deleted_customer(post, agent, customer):
    job = await agent.create_job(
        JobCreate(customer_id=UUID("c0000000-0000-4000-8000-000000000003"), title="Boiler")
    )
    await agent.delete_customer(customer.id)
    moved = await post(f"jobs/{job.id}/move", {"customer_id": str(customer.id)})
    assert_problem(moved, 409, "customer-deleted")


async def test_a_billed_job_is_not_moved(post, agent, customer):
    """Told why and what to do; without its invoice it moves."""
    job = await agent.create_job(JobCreate(customer_id=customer.id, title="Boiler"))
    item = InvoiceItem(description="x", unit_price_cents=5)
    invoice = await agent.create_invoice(
        InvoiceCreate(customer_id=customer.id, job_id=job.id, items=[item])
    )
    other = {"customer_id": "c0000000-0000-4000-8000-000000000003"}
    problem = assert_problem(await post(f"jobs/{job.id}/move", other), 422, "rule-refused")
    assert "Move the invoice first" in problem["detail"]
    assert str(invoice.id) in problem["detail"]
    assert (await post(f"invoices/{invoice.id}/move", other)).status_code == 200
    assert (await post(f"jobs/{job.id}/move", other)).status_code == 200


async def test_bulk_names_the_rows_of_deleted_customers(post, agent, customer):
    """The others are written; all or nothing writes none."""
    await agent.delete_customer(customer.id)
    other = "c0000000-0000-4000-8000-000000000003"
    items = [{"customer_id": who, "title": "x"} for who in (other, str(customer.id))]
    for atomic, first in ((True, "undone"), (False, "created")):
        answer = (await post("bulk/jobs", {"items": items, "atomic": atomic})).json()
        results = [(result["status"], result["code"]) for result in answer["results"]]
        assert results == [(first, None), ("failed", "customer-deleted")]


async def test_an_import_names_the_lines_of_deleted_customers(http, sign_in, agent):
    """The other lines are written."""
    source = uuid4().hex
    headers = {"Authorization": f"Bearer {sign_in(AGENT)}", "Content-Type": "text/csv"}

    async def send(kind, text, **query):
        ask = {"key_column": "no", "source": source, **query}
        answer = await http.post(f"/v1/imports/{kind}", content=text, params=ask, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    await send("customers", f"no,name\n1,{source}\n2,{source}\n")
    found = await agent.list_customers(q=source)
    assert len(found.items) == 2
    jobs = "no,customer_key,title\n1,1,Boiler\n2,2,Tap\n"
    await agent.delete_customer(found.items[0].id)
    report = await send("jobs", jobs)
    assert (report["created"], report["failed"]) == (1, 1)
    assert [problem["code"] for problem in report["problems"]] == ["customer-deleted"]


async def test_calls_are_refused_in_the_typed_client_too(agent, customer):
    await agent.delete_customer(customer.id)
    with pytest.raises(CrmProblemError, match="409 customer-deleted"):
        await agent.create_call(CallCreate(customer_id=customer.id, direction="inbound"))
