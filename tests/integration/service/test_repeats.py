"""Repeated creations: one effect, the same answer."""

import asyncio
import json
from uuid import uuid4

import asyncpg
import pytest

from crm_service.customers.schemas import CustomerCreate, CustomerUpdate
from crm_service.errors import CrmProblemError
from crm_service.jobs.schemas import JobCreate, JobSchedule
from tests.support.crm import assert_problem
from tests.support.personas import ADMIN, AGENT, MANAGER


def bearer(token: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **headers}


async def test_the_same_key_and_body_is_one_customer(http, sign_in):
    """The second answer is the first one and says that it is a replay."""
    headers = bearer(sign_in(AGENT), **{"Idempotency-Key": str(uuid4())})
    first = await http.post("/v1/customers", json={"name": "Once"}, headers=headers)
    again = await http.post("/v1/customers", json={"name": "Once"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


async def test_the_same_key_with_another_body_is_refused(http, sign_in):
    """A key belongs to one request."""
    headers = bearer(sign_in(AGENT), **{"Idempotency-Key": str(uuid4())})
    await http.post("/v1/customers", json={"name": "Once"}, headers=headers)
    response = await http.post("/v1/customers", json={"name": "Twice"}, headers=headers)
    assert_problem(response, 422, "idempotency-key-reused")


async def test_the_same_key_of_somebody_else_is_another_request(http, sign_in):
    """Keys are each user's own."""
    key = str(uuid4())
    ids = set()
    for persona in (AGENT, MANAGER):
        headers = bearer(sign_in(persona), **{"Idempotency-Key": key})
        response = await http.post("/v1/customers", json={"name": "Once"}, headers=headers)
        ids.add(response.json()["id"])
    assert len(ids) == 2


async def test_a_repeat_is_recognised_after_the_row_has_moved_on(agent):
    """A colleague edited the row meanwhile: the repeat gets the row, not a refusal."""
    body = CustomerCreate(id=uuid4(), name="Before", preferences={"a": 1})
    await agent.create_customer(body)
    changed = await agent.update_customer(body.id, CustomerUpdate(name="After"), version=1)
    assert await agent.create_customer(body) == changed


async def test_a_repeated_job_is_recognised_after_it_was_scheduled(agent, customer):
    """Instants are compared as instants."""
    body = JobCreate.model_validate(
        {
            "id": uuid4(),
            "customer_id": customer.id,
            "title": "Boiler",
            "scheduled_start": "2026-12-01T10:00:00+01:00",
        }
    )
    await agent.create_job(body)
    later = JobSchedule.model_validate({"scheduled_start": "2026-12-02T10:00:00Z"})
    moved = await agent.reschedule_job(body.id, later)
    assert await agent.create_job(body) == moved


async def test_an_id_of_somebody_elses_row_is_refused(agent, customer):
    """An id that is taken by other content is a conflict, and the row stays as it is."""
    with pytest.raises(CrmProblemError) as caught:
        await agent.create_customer(CustomerCreate(id=customer.id, name="Thief"))
    assert (caught.value.status, caught.value.code) == (409, "already-exists")
    assert await agent.get_customer(customer.id) == customer


async def test_concurrent_copies_have_one_effect(agent):
    """Copies that race are all answered with the one row."""
    body = CustomerCreate(id=uuid4(), name="Raced")
    answers = await asyncio.gather(*(agent.create_customer(body) for _ in range(8)))
    assert {answer.version for answer in answers} == {1}
    assert len({answer.model_dump_json() for answer in answers}) == 1


async def test_a_keyed_change_has_one_effect_and_the_same_answer(http, customer, sign_in, rest):
    """Copies of a PATCH, one after the other and at once, are one change."""
    headers = bearer(sign_in(AGENT), **{"Idempotency-Key": str(uuid4()), "If-Match": '"1"'})
    path = f"/v1/customers/{customer.id}"
    first = await http.patch(path, json={"phone": "1"}, headers=headers)
    copies = await asyncio.gather(
        *(http.patch(path, json={"phone": "1"}, headers=headers) for _ in range(5))
    )
    assert first.status_code == 200
    assert "idempotency-replayed" not in first.headers
    for copy in copies:
        assert (copy.status_code, copy.json()) == (200, first.json())
        assert copy.headers["idempotency-replayed"] == "true"
    query = {"table_name": "eq.customers", "row_id": f"eq.{customer.id}", "op": "eq.update"}
    assert len((await rest.get("/activity_log", params=query)).json()) == 1


async def test_racing_copies_of_a_step_have_one_effect(http, agent, customer, sign_in):
    """A copy that arrives while the first is at work waits for it."""
    job = await agent.create_job(JobCreate(customer_id=customer.id, title="Boiler"))
    headers = bearer(sign_in(AGENT), **{"Idempotency-Key": str(uuid4())})
    answers = await asyncio.gather(
        *(http.post(f"/v1/jobs/{job.id}/cancel", headers=headers) for _ in range(6))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["version"] for answer in answers} == {2}
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1


@pytest.mark.parametrize("if_match", ['"1"', '"2"'])
async def test_the_key_of_a_change_with_another_body_is_refused(
    http, customer, sign_in, agent, if_match
):
    """Whatever version it names; nothing is written."""
    headers = bearer(sign_in(AGENT), **{"Idempotency-Key": str(uuid4())})
    path = f"/v1/customers/{customer.id}"
    first = {**headers, "If-Match": '"1"'}
    assert (await http.patch(path, json={"phone": "1"}, headers=first)).status_code == 200
    other = {**headers, "If-Match": if_match}
    response = await http.patch(path, json={"address": "2"}, headers=other)
    assert_problem(response, 422, "idempotency-key-reused")
    assert (await agent.get_customer(customer.id)).address is None


WRITES = [
    # Method, path, body, further headers; {…} are ids of what `prepared` made.
    ("POST", "customers", {"name": "Once"}, {}),
    ("PATCH", "customers/{customer}", {"phone": "1"}, {"If-Match": '"1"'}),
    ("POST", "customers/{customer}/lead", {"score": 5}, {}),
    ("PATCH", "customers/{customer}/lead", {"score": 6}, {"If-Match": '"1"'}),
    ("POST", "customers/{customer}/lead/convert", None, {}),
    ("POST", "customers/{customer}/lead/notes", {"body": "x"}, {}),
    ("POST", "calls", {"customer_id": "{customer}", "direction": "inbound"}, {}),
    ("POST", "jobs/{job}/assign", {"assigned_to": AGENT.uid}, {"If-Match": '"0"'}),
    ("POST", "jobs/{job}/unassign", None, {"If-Match": '"1"'}),
    ("POST", "jobs/{job}/schedule", {"scheduled_start": "2027-01-01T09:00:00Z"}, {}),
    ("POST", "jobs/{job}/move", {"customer_id": "{other}"}, {}),
    ("DELETE", "jobs/{job}", None, {"If-Match": '"3"'}),
    (
        "PUT",
        "invoices/{invoice}/items",
        {"items": [{"description": "B", "unit_price_cents": 9}]},
        {},
    ),
    ("POST", "invoices/{invoice}/send", None, {}),
    ("POST", "invoices/mark-overdue", {"due_before": "1990-01-01"}, {}),
    ("POST", "invoices/{invoice}/pay", None, {}),
    ("POST", "loyalty/award", {"customer_id": "{customer}", "points": 5}, {}),
    ("POST", "loyalty/redeem", {"customer_id": "{customer}", "points": 5}, {}),
    ("POST", "messages", {"customer_id": "{customer}", "body": "Hi"}, {}),
    ("POST", "messages/{message}/read", None, {}),
    ("PATCH", "staff/{agent}", {"full_name": "Renamed"}, {"If-Match": "{agent_version}"}),
    ("PUT", "customers/{customer}/secrets/gate_code", {"value": "1"}, {"If-Match": '"0"'}),
    ("DELETE", "customers/{customer}/secrets/gate_code", None, {"If-Match": '"1"'}),
    (
        "POST",
        "bulk/jobs",
        {
            "items": [
                {"customer_id": "{customer}", "title": "A"},
                {"customer_id": "{agent}", "title": "Lost"},
                {"title": ""},
            ]
        },
        {},
    ),
    (
        "POST",
        "bulk/jobs",
        {"items": [{"customer_id": "{customer}", "title": "A"}], "atomic": True},
        {},
    ),
    *(
        ("POST", f"bulk/{kind}", {"items": [row]}, {})
        for kind, row in {
            "invoices": {
                "customer_id": "{customer}",
                "items": [{"description": "A", "unit_price_cents": 5}],
            },
            "messages": {"customer_id": "{customer}", "body": "Hi"},
            "loyalty": {"customer_id": "{customer}", "points": 5},
            "calls": {"customer_id": "{customer}", "direction": "inbound"},
            "leads": {"customer_id": "{other}"},
        }.items()
    ),
    ("POST", "history/customers/{customer}/restore", {"change_id": "{change}", "version": 2}, {}),
    ("PATCH", "customers/{customer}", {"phone": "2"}, {"If-Match": '"3"'}),
    ("POST", "history/customers/{customer}/restore", {"change_id": "{change}"}, {}),
    ("DELETE", "customers/{customer}", None, {}),
]


def filled(value, ids):
    """The value with the ids of the rows in it."""
    if isinstance(value, dict):
        return {name: filled(each, ids) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, ids) for each in value]
    if value == "{change}":
        return ids["change"]
    return value.format_map(ids) if isinstance(value, str) else value


@pytest.fixture
async def prepared(http, customer, sign_in, stack, rest):
    """Ids of rows that every write finds; staff are as before in the end."""
    headers = bearer(sign_in(ADMIN))

    async def made(path, **body):
        response = await http.post(f"/v1/{path}", json=body, headers=headers)
        assert response.status_code == 201, response.text
        return response.json()["id"]

    own = {"customer_id": str(customer.id)}
    item = {"description": "A", "unit_price_cents": 5}
    history = await http.get(f"/v1/history/customers/{customer.id}", headers=headers)
    person = (await http.get(f"/v1/staff/{AGENT.uid}", headers=headers)).json()
    message = str(uuid4())
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute(
            "insert into messages (id, customer_id, sender, body) values ($1, $2, 'customer', 'x')",
            message, str(customer.id),
        )  # fmt: skip
        yield {
            "customer": str(customer.id),
            "other": await made("customers", name="Other"),
            "job": await made("jobs", title="T", **own),
            "invoice": await made("invoices", items=[item], due_on="1980-01-01", **own),
            "message": message,
            "agent": AGENT.uid,
            "agent_version": f'"{person["version"]}"',
            "change": history.json()["entries"][0]["id"],
        }
        await connection.execute(
            "update staff set full_name = $1 where user_id = $2", person["full_name"], AGENT.uid
        )
    finally:
        await connection.close()


async def test_copies_of_every_kind_of_write_have_one_effect_and_one_answer(
    http, sign_in, prepared, rest
):
    """At once and afterwards; one of them is no replay. Other requests with the key are refused."""
    for method, template, example, more in WRITES:
        path, body = f"/v1/{template.format_map(prepared)}", filled(example, prepared)
        headers = bearer(
            sign_in(ADMIN), **{"Idempotency-Key": str(uuid4())}, **filled(more, prepared)
        )
        answers = await asyncio.gather(
            *(http.request(method, path, json=body, headers=headers) for _ in range(4))
        )
        answers.append(await http.request(method, path, json=body, headers=headers))
        told = {(a.status_code, json.dumps(a.json(), sort_keys=True)) for a in answers}
        assert len(told) == 1, f"{method} {path}: {told}"
        assert answers[0].is_success, told
        assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1, path
        claims = await rest.get(
            "/activity_log", params={"request_id": f"eq.{headers['Idempotency-Key']}"}
        )
        effects = [
            (each["table_name"], each["row_id"], each["row_version"]) for each in claims.json()
        ]
        assert effects, path
        assert len(effects) == len(set(effects)), path
        reused = await http.post("/v1/customers", json={"name": "Other"}, headers=headers)
        assert_problem(reused, 422, "idempotency-key-reused")


async def test_fifty_copies_at_once_have_one_effect(http, sign_in, customer, rest):
    """Points, where a second effect would cost money."""
    headers = bearer(sign_in(AGENT), **{"Idempotency-Key": str(uuid4())})
    body = {"customer_id": str(customer.id), "points": 5}
    answers = await asyncio.gather(
        *(http.post("/v1/loyalty/award", json=body, headers=headers) for _ in range(50))
    )
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    own = {"customer_id": f"eq.{customer.id}"}
    assert [
        each["points"] for each in (await rest.get("/loyalty_transactions", params=own)).json()
    ] == [5]


async def test_a_refused_request_leaves_its_key_unused(http, customer, sign_in):
    """Nothing took effect, so the corrected request may use the key."""
    headers = bearer(sign_in(AGENT), **{"Idempotency-Key": str(uuid4())})
    path = f"/v1/customers/{customer.id}"
    stale = {**headers, "If-Match": '"7"'}
    assert (await http.patch(path, json={"phone": "1"}, headers=stale)).status_code == 412
    good = {**headers, "If-Match": '"1"'}
    assert (await http.patch(path, json={"phone": "1"}, headers=good)).status_code == 200


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, b"\xc3\xa9"])
@pytest.mark.parametrize("path", ["customers", "imports/customers"])
async def test_a_key_that_is_none_is_refused_in_words(http, sign_in, rest, path, key):
    """Nothing is written."""
    name = f"Key {uuid4()}"
    headers = {**bearer(sign_in(AGENT)), "Idempotency-Key": key}
    if path == "customers":
        response = await http.post("/v1/customers", json={"name": name}, headers=headers)
    else:
        csv = {**headers, "Content-Type": "text/csv"}
        response = await http.post(f"/v1/{path}", content=f"name\n{name}\n", headers=csv)
    problem = assert_problem(response, 422, "invalid-request")
    assert problem["errors"] == [
        {
            "field": "header.idempotency-key",
            "message": "must be 1 to 200 printable ASCII characters, without spaces",
        }
    ]
    assert (await rest.get("/customers", params={"name": f"eq.{name}"})).json() == []
