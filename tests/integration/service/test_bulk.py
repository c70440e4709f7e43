"""Many rows in one request."""

import asyncio
import json
from uuid import UUID, uuid4

import pytest

from crm_service.customers.schemas import CustomerCreate
from crm_service.leads.schemas import LeadCreate
from tests.support.crm import assert_problem
from tests.support.personas import AGENT, MANAGER


@pytest.fixture
def bulk(http, sign_in):
    async def bulk(kind, items, persona=AGENT, *, atomic=False, **headers):
        auth = {"Authorization": f"Bearer {sign_in(persona)}", **headers}
        body = {"items": items, "atomic": atomic}
        return await http.post(f"/v1/bulk/{kind}", json=body, headers=auth)

    return bulk


@pytest.fixture
async def count(rest):
    async def count(table, **query):
        response = await rest.get(f"/{table}", params=query)
        return len(response.json())

    return count


async def test_a_thousand_rows_are_one_request(bulk, count):
    """Each is reported on, in order, and is there."""
    mark = uuid4().hex
    items = [{"name": f"{mark} {n}", "email": f"{n}@example.com"} for n in range(1000)]
    response = await bulk("customers", items)
    assert response.status_code == 200
    document = response.json()
    assert (document["created"], document["failed"]) == (1000, 0)
    assert [result["index"] for result in document["results"]] == list(range(1000))
    assert await count("customers", name=f"like.{mark}*") == 1000


async def test_wrong_rows_are_reported_and_the_others_written(bulk, customer, count):
    """What the service refuses, what the database refuses, and what is good, each by its place."""
    items = [
        {"customer_id": str(customer.id), "title": "Good"},
        {"customer_id": str(customer.id), "title": ""},
        {"customer_id": str(uuid4()), "title": "Unknown customer"},
        "not an object",
        {"customer_id": str(customer.id), "title": "Later", "scheduled_start": "2027-01-01T09:00Z"},
        {"customer_id": str(customer.id), "title": "Extra", "cost": 1},
    ]
    document = (await bulk("jobs", items)).json()
    codes = [(result["status"], result["code"]) for result in document["results"]]
    assert codes == [
        ("created", None),
        ("failed", "invalid-request"),
        ("failed", "unknown-reference"),
        ("failed", "invalid-request"),
        ("created", None),
        ("failed", "invalid-request"),
    ]
    assert document["results"][1]["errors"][0]["field"] == "item.title"
    assert await count("jobs", customer_id=f"eq.{customer.id}") == 2


@pytest.mark.parametrize("bad", [{"title": "X"}, {"customer_id": str(uuid4()), "title": "X"}])
async def test_all_or_none_writes_none(bulk, customer, count, bad):
    """Whoever refuses; every row is reported on."""
    good = {"customer_id": str(customer.id), "title": "Good"}
    response = await bulk("jobs", [good, bad], atomic=True)
    problem = assert_problem(response, 422, "bulk-refused")
    assert [result["status"] for result in problem["results"]] == ["undone", "failed"]
    assert await count("jobs", customer_id=f"eq.{customer.id}") == 0


async def test_invoices_come_with_their_items(bulk, customer, count):
    """A draft each, all or nothing per draft."""
    item = {"description": "A", "unit_price_cents": 5, "quantity": 3}
    items = [
        {"customer_id": str(customer.id), "items": [item, item]},
        {"customer_id": str(uuid4()), "items": [item]},
    ]
    document = (await bulk("invoices", items)).json()
    assert [result["status"] for result in document["results"]] == ["created", "failed"]
    assert await count("invoices", customer_id=f"eq.{customer.id}", total_cents="eq.30") == 1


async def test_points_are_booked_in_order(bulk, customer, count):
    """Each kind with its sign; an agent's adjustment is refused alone."""
    own = {"customer_id": str(customer.id)}
    items = [
        {**own, "points": 10},
        {**own, "points": 5, "kind": "bonus"},
        {**own, "points": 3, "kind": "adjust"},
        {**own, "points": 4, "kind": "redeem"},
        {**own, "points": 400, "kind": "redeem"},
    ]
    statuses = [result["status"] for result in (await bulk("loyalty", items)).json()["results"]]
    assert statuses == ["created", "created", "failed", "created", "failed"]
    assert await count("loyalty_accounts", customer_id=f"eq.{customer.id}", balance="eq.11") == 1


async def test_leads_messages_and_calls(bulk, customer, count):
    """The other kinds."""
    own = {"customer_id": str(customer.id)}
    assert (await bulk("leads", [{**own, "score": 3}])).json()["created"] == 1
    assert (await bulk("messages", [{**own, "body": "A"}, {**own, "body": "B"}])).json()[
        "created"
    ] == 2
    assert (await bulk("calls", [{**own, "direction": "inbound"}])).json()["created"] == 1
    assert await count("messages", customer_id=f"eq.{customer.id}", sender="eq.staff") == 2


async def test_text_that_cannot_be_stored_fails_its_row_alone(http, sign_in, count):
    """NUL, half characters and numbers that are none, at the top and deep inside."""
    mark = uuid4().hex
    strange = ["\x00", "\ud800", float("nan")]
    items = [{"name": value} for value in strange]
    items += [{"name": mark, "preferences": {"a": [value]}} for value in strange]
    items += [
        {"name": mark, "preferences": {"\x00": 1}},
        {"name": mark, "preferences": {"\\u0000": 1}},
    ]
    headers = {"Authorization": f"Bearer {sign_in(AGENT)}", "Content-Type": "application/json"}
    content = json.dumps({"items": items})
    document = (await http.post("/v1/bulk/customers", content=content, headers=headers)).json()
    statuses = [row["status"] for row in document["results"]]
    assert statuses == ["failed"] * 7 + ["created"]
    assert await count("customers", name=f"eq.{mark}") == 1


async def test_every_kind_is_all_or_none_and_row_by_row(bulk, customer, manager, count):
    """A row that only the database refuses: none with atomic, all the others without."""
    own, lost = {"customer_id": str(customer.id)}, {"customer_id": str(uuid4())}
    item = {"items": [{"description": "A", "unit_price_cents": 5}]}
    first = (await manager.list_customers(limit=1, sort="name")).items[0]
    cases = {
        "customers": (
            "customers",
            {"name": str(customer.id)},
            {"name": str(customer.id), "id": str(first.id)},
        ),
        "jobs": ("jobs", {**own, "title": "A"}, {**lost, "title": "A"}),
        "invoices": ("invoices", {**own, **item}, {**lost, **item}),
        "messages": ("messages", {**own, "body": "A"}, {**lost, "body": "A"}),
        "loyalty": (
            "loyalty_transactions",
            {**own, "points": 5},
            {**own, "points": 6, "kind": "redeem"},
        ),
        "leads": ("leads", own, lost),
        "calls": ("calls", {**own, "direction": "inbound"}, {**lost, "direction": "inbound"}),
    }
    for kind, (table, good, bad) in cases.items():
        its = (
            {"name": f"eq.{customer.id}"}
            if kind == "customers"
            else {"customer_id": f"eq.{customer.id}"}
        )
        refused = assert_problem(await bulk(kind, [good, bad], atomic=True), 422, "bulk-refused")
        assert [row["status"] for row in refused["results"]] == ["undone", "failed"], kind
        assert refused["results"][1]["detail"], kind
        assert await count(table, **its) == 0, kind
        results = (await bulk(kind, [good, bad])).json()["results"]
        assert [row["status"] for row in results] == ["created", "failed"], kind
        assert await count(table, **its) == 1, kind


async def test_a_repeated_request_has_one_effect(bulk, customer, count):
    """With a key, and with ids of the client's own."""
    own = {"customer_id": str(customer.id), "title": "Once"}
    key = {"Idempotency-Key": str(uuid4())}
    first = (await bulk("jobs", [own, own], **key)).json()
    again = (await bulk("jobs", [own, own], **key)).json()
    assert first["created"] == 2
    assert again == first
    named = {**own, "id": str(uuid4())}
    assert (await bulk("jobs", [named])).json()["created"] == 1
    assert (await bulk("jobs", [named])).json()["unchanged"] == 1
    assert await count("jobs", customer_id=f"eq.{customer.id}") == 3


async def test_a_key_of_another_bulk_request_is_refused(bulk, customer):
    """Nothing is written."""
    own = {"customer_id": str(customer.id), "title": "Once"}
    key = {"Idempotency-Key": str(uuid4())}
    assert (await bulk("jobs", [own], **key)).status_code == 200
    assert_problem(await bulk("jobs", [own, own], **key), 422, "idempotency-key-reused")


async def test_the_first_request_with_a_key_is_no_copy(bulk, customer):
    """Also if all of its rows are there already."""
    row = {"customer_id": str(customer.id), "title": "Once", "id": str(uuid4())}
    assert (await bulk("jobs", [row])).json()["created"] == 1
    key = {"Idempotency-Key": str(uuid4())}
    for replayed in (False, True):
        answer = await bulk("jobs", [row], **key)
        assert answer.json()["unchanged"] == 1
        assert ("idempotency-replayed" in answer.headers) == replayed


async def test_a_repeated_request_for_invoices_has_one_effect(bulk, customer, count):
    """The answer to a copy is that of then; some of its rows under the same key are another one."""
    item = {"description": "A", "unit_price_cents": 5}
    rows = [{"customer_id": str(customer.id), "items": [item]} for _ in range(2)]
    rows.append({"customer_id": str(uuid4()), "items": [item]})
    key = {"Idempotency-Key": str(uuid4())}
    first = await bulk("invoices", rows, **key)
    assert (first.json()["created"], first.json()["failed"]) == (2, 1)
    again = await bulk("invoices", rows, **key)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    assert_problem(await bulk("invoices", rows[:1], **key), 422, "idempotency-key-reused")
    assert await count("invoices", customer_id=f"eq.{customer.id}") == 2


async def test_many_rows_for_the_same_customers_at_once_do_not_block_each_other(bulk, manager):
    """Each request names them in another order; all points are booked, and in the order given."""
    ids = [
        str((await manager.create_customer(CustomerCreate(name=f"C {n}"))).id) for n in range(60)
    ]
    rows = [{"customer_id": own, "points": points} for own in ids for points in (1, 2)]
    orders = [rows, rows[::-1], rows[60:] + rows[:60], rows[::2] + rows[1::2]]
    answers = await asyncio.gather(*(bulk("loyalty", order) for order in orders * 2))
    for order, answer in zip(orders * 2, answers, strict=True):
        assert answer.json()["created"] == len(rows), answer.text
        assert [row["index"] for row in answer.json()["results"]] == list(range(len(order)))
    for own in (ids[0], ids[-1]):
        account = await manager.get_loyalty_account(UUID(own))
        assert (account.balance, account.last_entry) == (24, 16)


async def test_points_of_one_customer_are_booked_in_the_order_given(bulk, manager, customer):
    """Also between rows of others: what is awarded first can be spent."""
    other = str((await manager.create_customer(CustomerCreate(name="Other"))).id)
    own = {"customer_id": str(customer.id)}
    rows = [{**own, "points": 5}, {"customer_id": other, "points": 1}]
    rows.append({**own, "points": 5, "kind": "redeem"})
    results = (await bulk("loyalty", rows)).json()["results"]
    assert [row["status"] for row in results] == ["created"] * 3
    assert [row["index"] for row in results] == [0, 1, 2]
    assert (await manager.get_loyalty_account(customer.id)).balance == 0


async def test_the_same_id_twice_is_refused(bulk, customer, count):
    """The first row is kept; the second is told whose id it has. With atomic, none is kept."""
    own = {"customer_id": str(customer.id), "title": "Once", "id": str(uuid4())}
    refused = await bulk("jobs", [own, {**own, "title": "Twice"}], atomic=True)
    assert_problem(refused, 422, "bulk-refused")
    assert await count("jobs", id=f"eq.{own['id']}") == 0
    first, second = (await bulk("jobs", [own, {**own, "title": "Twice"}])).json()["results"]
    assert (first["status"], first["version"], second["status"]) == ("created", 1, "failed")
    assert second["errors"] == [{"field": "item.id", "message": "is the one of item 0, too"}]
    assert await count("jobs", id=f"eq.{own['id']}", title="eq.Once") == 1


async def test_the_database_calls_one_of_two_rows_with_a_key_created(rest):
    """Also for those who call the function themselves, whatever columns the rows name.

    The later one has other content, so its id is taken.
    """
    row = {"id": str(uuid4()), "name": "One"}
    for other in ({**row, "name": "Two"}, {**row, "name": "Two", "branch": "north"}):
        row["id"] = other["id"] = str(uuid4())
        body = {"table_name": "customers", "rows": [row, other]}
        results = (await rest.post("/rpc/bulk_write", json=body)).json()
        assert [result["status"] for result in results] == ["created", "failed"]


async def test_an_id_that_is_taken_is_refused_and_a_repeat_is_not(bulk, manager, customer, count):
    """Other content is another row; what a row was made as is recognised after it was changed."""
    own = {"customer_id": str(customer.id), "scheduled_start": "2027-01-01T10:00:00+01:00"}
    rows = [{**own, "title": title, "id": str(uuid4())} for title in ("A", "B")]
    assert (await bulk("jobs", rows)).json()["created"] == 2
    await manager.cancel_job(UUID(rows[0]["id"]))
    assert (await bulk("jobs", rows, atomic=True)).json()["unchanged"] == 2
    thief = [{**own, "title": "C"}, {**rows[1], "title": "D"}]
    refused = assert_problem(await bulk("jobs", thief, atomic=True), 422, "bulk-refused")
    told = [(row["status"], row["code"]) for row in refused["results"]]
    assert told == [("undone", None), ("failed", "already-exists")]
    results = (await bulk("jobs", thief)).json()["results"]
    assert [row["status"] for row in results] == ["created", "failed"]
    assert await count("jobs", customer_id=f"eq.{customer.id}", title="in.(A,B,C)") == 3


async def test_a_lead_of_somebody_else_is_taken(bulk, manager, customer):
    """The caller does not see it, and is not told that it is theirs."""
    await manager.create_lead(customer.id, LeadCreate())
    results = (await bulk("leads", [{"customer_id": str(customer.id)}])).json()["results"]
    assert [(row["status"], row["code"]) for row in results] == [("failed", "already-exists")]


@pytest.mark.parametrize("items", [[], [{"name": "A"}] * 1001, {"name": "A"}, None])
async def test_too_many_or_none_are_refused(bulk, items):
    """One to a thousand."""
    assert_problem(await bulk("customers", items, MANAGER), 422, "invalid-request")
