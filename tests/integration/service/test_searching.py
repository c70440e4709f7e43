"""Search, sort, filter."""

from uuid import uuid4

import pytest

from crm_service.customers.schemas import CustomerCreate
from crm_service.jobs.schemas import JobCreate
from crm_service.leads.schemas import LeadCreate, LeadNoteCreate
from crm_service.loyalty.schemas import PointsGrant
from tests.support.crm import assert_problem
from tests.support.personas import AGENT


@pytest.fixture
def ask(http, sign_in):
    headers = {"Authorization": f"Bearer {sign_in(AGENT)}"}

    async def ask(path, **query):
        return await http.get(f"/v1/{path}", params=query, headers=headers)

    return ask


async def test_every_word_must_occur(agent, ask):
    """In any column, in any case, in any order; signs of patterns are taken literally."""
    mark = uuid4().hex
    for name, address in ((f"Ada {mark}", "Mill_Lane 1"), (f"Bob {mark}", "MillxLane 2")):
        await agent.create_customer(CustomerCreate(name=name, address=address))

    async def found(text):
        items = (await ask("customers", q=text)).json()["items"]
        return sorted(item["name"].split()[0] for item in items)

    assert await found(mark.upper()) == ["Ada", "Bob"]
    assert await found(f"lane {mark}") == ["Ada", "Bob"]
    assert await found(f"mill_lane {mark}") == ["Ada"]
    assert await found(f"ada, {mark}") == []
    assert await found(f'{mark} "),or(') == []


@pytest.mark.parametrize("sort", ["name", "-name", "updated_at", "-created_at"])
async def test_a_sorted_list_has_every_row_once(ask, sort):
    """Pages follow the order across their seams."""
    seen, cursor = [], None
    while True:
        query = {"sort": sort, "limit": 70} | ({"cursor": cursor} if cursor else {})
        page = (await ask("customers", **query)).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len({item["id"] for item in seen}) == len(seen) >= 200
    values = [item[sort.removeprefix("-")] for item in seen]
    if sort != "name" and sort != "-name":  # the database's collation orders names
        assert values == sorted(values, reverse=sort.startswith("-"))


async def test_a_list_sorted_by_start_is_filtered_by_start_and_status(agent, customer, ask):
    """Several values of one filter, and a range."""
    for day in (1, 2, 3):
        body = {
            "customer_id": str(customer.id),
            "title": f"Day {day}",
            "scheduled_start": f"2031-01-0{day}T09:00:00Z",
        }
        await agent.create_job(JobCreate.model_validate(body))
    query = {
        "customer_id": str(customer.id),
        "sort": "scheduled_start",
        "status": ["scheduled", "requested"],
        "starts_from": "2031-01-02T00:00:00Z",
    }
    items = (await ask("jobs", **query)).json()["items"]
    assert [item["title"] for item in items] == ["Day 2", "Day 3"]


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("customers", {"sort": "phone"}, "query.sort"),
        ("customers", {"q": "a\x00"}, "query.q"),
        ("jobs", {"status": "done"}, "query.status.0"),
        ("jobs", {"starts_from": "yesterday"}, "query.starts_from"),
        ("leads", {"min_score": "101"}, "query.min_score"),
        ("calls", {"staff_id": "mine"}, "query.staff_id"),
    ],
)
async def test_wrong_filters_are_named(ask, path, query, field):
    """None is ignored."""
    problem = assert_problem(await ask(path, **query), 422, "invalid-request")
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_cursor_of_another_order_is_refused(ask):
    """It would skip rows."""
    cursor = (await ask("customers", limit=1)).json()["next_cursor"]
    response = await ask("customers", limit=1, cursor=cursor, sort="name")
    assert_problem(response, 422, "invalid-request")


async def test_leads_notes_and_points_are_searched(agent, ask, customer):
    """Leads by whose they are, notes by what was written, points by their reason."""
    mark = uuid4().hex
    other = await agent.create_customer(CustomerCreate(name=f"Eve {mark}", email="eve@example.com"))
    for lead in (customer, other):
        await agent.create_lead(lead.id, LeadCreate(source="web"))
        for text in ("Wants a demo", f"Call back {mark}"):
            await agent.create_lead_note(lead.id, LeadNoteCreate(kind="call", body=text))

    async def found(path, **query):
        answer = await ask(path, **query)
        return [item.get("body") or item["customer_id"] for item in answer.json()["items"]]

    assert await found("leads", q=f"eve {mark.upper()}") == [str(other.id)]
    assert await found("leads", q=f"eve@example {mark}", status="new") == [str(other.id)]
    assert await found("leads", q=f"eve {mark}", status="won") == []
    whole = (await ask("leads", q=mark)).json()["items"]
    assert whole == [(await ask(f"customers/{other.id}/lead")).json()]
    notes = f"customers/{customer.id}/lead/notes"
    assert await found(notes, q=mark) == [f"Call back {mark}"]
    assert await found(notes, q="demo wants") == ["Wants a demo"]
    assert await found(notes, q="nothing of the kind") == []
    await agent.award_points(PointsGrant(customer_id=customer.id, points=5, reason=f"For {mark}"))
    assert await found("loyalty/entries", q=f"for {mark}") == [str(customer.id)]
