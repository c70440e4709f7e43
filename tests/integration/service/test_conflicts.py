"""Two people edit the same row."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from crm_service.customers.schemas import CustomerCreate, CustomerUpdate
from crm_service.errors import CrmProblemError
from crm_service.invoices.schemas import InvoiceCreate, InvoiceItem, InvoiceItemsReplace
from crm_service.jobs.schemas import JobCreate
from crm_service.leads.schemas import LeadCreate, LeadUpdate
from tests.support.crm import assert_problem, stored
from tests.support.personas import ADMIN, AGENT, MANAGER


@pytest.fixture
def headers(sign_in):
    return {"Authorization": f"Bearer {sign_in(AGENT)}", "If-Match": '"1"'}


async def test_edits_of_different_fields_are_merged(manager, http, customer, headers, rest):
    """Both changes stay, and the answer says what was kept."""
    await manager.update_customer(customer.id, CustomerUpdate(phone="1", branch="n"), version=1)
    path = f"/v1/customers/{customer.id}"
    response = await http.patch(path, json={"address": "2"}, headers=headers)
    assert response.status_code == 200
    assert response.headers["x-merged-fields"] == "branch, phone"
    assert response.headers["etag"] == '"3"'
    row = await stored(rest, "customers", customer.id)
    assert (row["phone"], row["branch"], row["address"]) == ("1", "n", "2")


async def test_edits_of_the_same_field_show_both_values(manager, http, customer, headers):
    """Who, when, from what to what: the caller can decide without another request."""
    await manager.update_customer(customer.id, CustomerUpdate(phone="1", branch="n"), version=1)
    path = f"/v1/customers/{customer.id}"
    body = {"phone": "2", "address": "3"}
    response = await http.patch(path, json=body, headers=headers)
    problem = assert_problem(response, 412, "stale-version")
    (conflict,) = problem["conflicts"]
    assert conflict.pop("changed_at")
    assert conflict == {
        "field": "phone",
        "yours": "2",
        "theirs": "1",
        "base": None,
        "changed_by": MANAGER.uid,
    }
    assert (await manager.get_customer(customer.id)).address is None


async def test_the_same_edit_of_both_is_no_conflict(manager, http, customer, headers):
    """They agree on one field and differ in none."""
    await manager.update_customer(customer.id, CustomerUpdate(phone="1"), version=1)
    path = f"/v1/customers/{customer.id}"
    response = await http.patch(path, json={"phone": "1", "address": "2"}, headers=headers)
    assert response.status_code == 200
    assert response.json()["address"] == "2"


async def test_a_change_that_was_taken_back_is_no_conflict(manager, http, customer, headers):
    """What counts is the difference between then and now."""
    for version, phone in ((1, "1"), (2, None)):
        await manager.update_customer(customer.id, CustomerUpdate(phone=phone), version=version)
    path = f"/v1/customers/{customer.id}"
    response = await http.patch(path, json={"phone": "2"}, headers=headers)
    assert response.status_code == 200
    assert response.json()["version"] == 4


async def test_a_version_of_the_future_is_refused(http, customer, headers):
    """It cannot have been seen."""
    response = await http.patch(
        f"/v1/customers/{customer.id}", json={"phone": "2"}, headers={**headers, "If-Match": '"9"'}
    )
    assert_problem(response, 412, "stale-version")


async def test_the_same_edit_of_a_colleague_is_named_and_no_copy(http, customer, sign_in, manager):
    """Whoever counts in a field sees that the number was taken; a copy of one's own is a copy."""
    await manager.update_customer(customer.id, CustomerUpdate(phone="1"), version=1)
    path, body = f"/v1/customers/{customer.id}", {"phone": "1"}
    based = {"If-Match": '"1"'}
    for persona, more, merged, replayed in (
        (AGENT, {}, "phone", None),
        (AGENT, {"Idempotency-Key": str(uuid4())}, "phone", None),
        (MANAGER, {"Idempotency-Key": str(uuid4())}, "phone", None),
        (MANAGER, {}, None, "true"),
    ):
        auth = {"Authorization": f"Bearer {sign_in(persona)}"}
        response = await http.patch(path, json=body, headers={**auth, **based, **more})
        assert (response.status_code, response.headers["etag"]) == (200, '"2"')
        assert response.headers.get("x-merged-fields") == merged
        assert response.headers.get("idempotency-replayed") == replayed


@pytest.mark.parametrize("tag", ['"0"', '"99"'])
@pytest.mark.parametrize("phone", ["1", "2"])
async def test_a_version_that_never_was_is_refused(http, manager, customer, headers, tag, phone):
    """Also where the value is there already."""
    await manager.update_customer(customer.id, CustomerUpdate(phone="1"), version=1)
    path, based = f"/v1/customers/{customer.id}", {**headers, "If-Match": tag}
    response = await http.patch(path, json={"phone": phone}, headers=based)
    assert assert_problem(response, 412, "stale-version")["current"]["version"] == 2


async def test_as_many_editors_as_a_lead_has_fields_all_get_in(agent, customer):
    """None of them is told to decide again, however often others were quicker."""
    await agent.create_lead(customer.id, LeadCreate())
    edits = {
        "score": 5,
        "conversion_probability": 0.5,
        "source": "fair",
        "estimated_value_cents": 5,
        "currency": "USD",
        "next_follow_up_at": "2027-01-01T00:00:00Z",
        "status": "contacted",
    }
    await asyncio.gather(
        *(
            agent.update_lead(customer.id, LeadUpdate.model_validate({name: value}), version=1)
            for name, value in edits.items()
        )
    )
    lead = (await agent.get_lead(customer.id)).model_dump(mode="json")
    assert {name: lead[name] for name in edits} == edits | {
        "next_follow_up_at": "2027-01-01T00:00:00+00:00"
    }
    assert lead["version"] == 8


async def test_many_editors_of_different_fields_all_get_in(manager, customer):
    """Racing merges retry until each has found its place."""
    fields = ("phone", "address", "branch")
    await asyncio.gather(
        *(
            manager.update_customer(customer.id, CustomerUpdate(**{field: "x"}), version=1)
            for field in fields
        )
    )
    row = await manager.get_customer(customer.id)
    assert [getattr(row, field) for field in fields] == ["x", "x", "x"]
    assert row.version == 4


async def test_items_and_moves_name_their_version(manager, customer):
    """A colleague was quicker: nothing is written, and the row is told as it is."""
    item = InvoiceItem(description="A", unit_price_cents=5)
    draft = await manager.create_invoice(InvoiceCreate(customer_id=customer.id, items=[item]))
    job = await manager.create_job(JobCreate(customer_id=customer.id, title="A"))
    other = (await manager.create_customer(CustomerCreate(name="Other"))).id
    items = InvoiceItemsReplace(items=[item, item])
    later = await manager.replace_invoice_items(draft.id, items, version=draft.version)
    for call in (
        manager.replace_invoice_items(draft.id, items, version=draft.version),
        manager.move_invoice(draft.id, other, version=draft.version),
        manager.move_job(job.id, other, version=7),
    ):
        with pytest.raises(CrmProblemError) as caught:
            await call
        assert (caught.value.status, caught.value.code) == (412, "stale-version")
        assert caught.value.problem["current"]["customer_id"] == str(customer.id)
    assert (await manager.get_invoice(draft.id)) == later
    moved = await manager.move_invoice(draft.id, other, version=later.version)
    assert moved.customer_id == (await manager.move_job(job.id, other, version=1)).customer_id


@pytest.fixture
async def colleague(stack):
    """A member of staff of this test's own, at version 1."""
    connection = await asyncpg.connect(stack.database_url)
    user = uuid4()
    await connection.execute(
        "insert into auth.users (id, email) values ($1, 'x@crm.example')", user
    )
    await connection.execute(
        "insert into staff (user_id, full_name, email, role)"
        " values ($1, 'Before', 'x@crm.example', 'agent')",
        user,
    )
    yield user
    await connection.execute("delete from staff where user_id = $1", user)
    await connection.execute("delete from auth.users where id = $1", user)
    await connection.close()


async def test_admins_who_edit_the_same_colleague_are_merged_or_told(http, sign_in, colleague):
    """As with every other row."""
    headers = {"Authorization": f"Bearer {sign_in(ADMIN)}", "If-Match": '"1"'}
    path = f"/v1/staff/{colleague}"
    assert (await http.patch(path, json={"full_name": "A"}, headers=headers)).status_code == 200
    response = await http.patch(path, json={"email": "y@crm.example"}, headers=headers)
    assert (response.status_code, response.headers["etag"]) == (200, '"3"')
    assert response.headers["x-merged-fields"] == "full_name"
    response = await http.patch(path, json={"full_name": "B"}, headers=headers)
    (conflict,) = assert_problem(response, 412, "stale-version")["conflicts"]
    assert (conflict["yours"], conflict["theirs"], conflict["base"]) == ("B", "A", "Before")
    assert conflict["changed_by"] == ADMIN.uid


@pytest.mark.parametrize("based_on", [0, 1])
async def test_who_was_quicker_to_assign_a_job_is_named(http, sign_in, manager, customer, based_on):
    """Also where it was nobody's when the caller looked."""
    job = await manager.create_job(JobCreate(customer_id=customer.id, title="A"))
    for user in (AGENT.uid, ADMIN.uid)[: based_on + 1]:
        await manager.assign_job(job.id, UUID(user))
    theirs, base = (AGENT.uid, None) if based_on == 0 else (ADMIN.uid, AGENT.uid)
    headers = {"Authorization": f"Bearer {sign_in(MANAGER)}", "If-Match": f'"{based_on}"'}
    body = {"assigned_to": MANAGER.uid}
    response = await http.post(f"/v1/jobs/{job.id}/assign", json=body, headers=headers)
    (conflict,) = assert_problem(response, 412, "stale-version")["conflicts"]
    assert conflict.pop("changed_at")
    assert conflict == {
        "field": "assigned_to",
        "yours": MANAGER.uid,
        "theirs": theirs,
        "base": base,
        "changed_by": MANAGER.uid,
    }


async def test_what_is_read_says_what_to_send_back(http, manager, customer, headers):
    """The items of an invoice carry its version, and so does a value that is revealed."""
    item = InvoiceItem(description="A", unit_price_cents=5)
    draft = await manager.create_invoice(InvoiceCreate(customer_id=customer.id, items=[item]))
    await manager.put_secret(customer.id, "gate_code", "4711#")
    items = await http.get(f"/v1/invoices/{draft.id}/items", headers=headers)
    assert items.headers["etag"] == f'"{draft.version}"'
    path = f"/v1/customers/{customer.id}/secrets/gate_code/reveal"
    assert (await http.post(path, headers=headers)).headers["etag"] == '"1"'
