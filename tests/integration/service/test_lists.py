"""Lists: complete, in order, page by page."""

from uuid import UUID

import pytest
from pydantic import BaseModel

from crm_service.calls.schemas import CallRead
from crm_service.customers.schemas import CustomerRead
from crm_service.fields import IdRecord
from crm_service.invoices.schemas import InvoiceRead
from crm_service.jobs.schemas import JobCreate, JobRead
from crm_service.leads.schemas import LeadRead
from crm_service.loyalty.schemas import LoyaltyEntryRead
from crm_service.messages.schemas import MessageCreate, MessageRead
from crm_service.pagination import Page
from crm_service.row_text import RowsText
from crm_service.staff.schemas import StaffRead
from crm_service.tables import Joined, Table
from tests.support.crm import assert_problem
from tests.support.personas import ADMIN, AGENT, customer_id


async def test_fifty_are_a_page(agent):
    """Without a limit a page has 50 rows and says where to go on."""
    page = await agent.list_customers()
    assert len(page.items) == 50
    assert page.next_cursor is not None


async def test_pages_cover_every_row_once(agent, rest):
    """The seeded rows share their creation time or not: no row is lost or repeated at a border."""
    query = {"limit": 20, "customer_id": customer_id(1)}
    for listing, table in (
        (agent.list_jobs, "jobs"),
        (agent.list_messages, "messages"),
        (agent.list_invoices, "invoices"),
        (agent.list_loyalty_entries, "loyalty_transactions"),
    ):
        found, cursor = [], None
        while True:
            page = await listing(**{**query, "limit": 2}, cursor=cursor)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        columns = {"select": "id", "customer_id": f"eq.{customer_id(1)}"}
        if table != "loyalty_transactions":
            columns["deleted_at"] = "is.null"
        stored = {row["id"] for row in (await rest.get(f"/{table}", params=columns)).json()}
        assert [str(row.id) for row in found] == [
            str(row.id) for row in sorted(found, key=lambda r: (r.created_at, r.id), reverse=True)
        ]
        assert len(found) == len(stored)
        assert {str(row.id) for row in found} == stored


async def test_a_row_added_meanwhile_does_not_shift_the_pages(agent, customer):
    """Cursors are positions, not offsets."""
    for number in range(3):
        await agent.post_message(MessageCreate(customer_id=customer.id, body=f"no. {number}"))
    first = await agent.list_messages(customer_id=customer.id, limit=2)
    await agent.post_message(MessageCreate(customer_id=customer.id, body="new"))
    second = await agent.list_messages(customer_id=customer.id, limit=2, cursor=first.next_cursor)
    bodies = [message.body for message in first.items + second.items]
    assert bodies == ["no. 2", "no. 1", "no. 0"]
    assert second.next_cursor is None


async def test_a_made_up_cursor_is_refused(http, sign_in):
    """422 names the parameter."""
    headers = {"Authorization": f"Bearer {sign_in(AGENT)}"}
    response = await http.get("/v1/jobs?cursor=abc", headers=headers)
    problem = assert_problem(response, 422, "invalid-request")
    assert problem["errors"][0]["field"] == "query.cursor"


LISTS: list[tuple[str, type[BaseModel], str]] = [
    ("/v1/customers", CustomerRead, "/v1/customers/{id}"),
    ("/v1/jobs", JobRead, "/v1/jobs/{id}"),
    ("/v1/invoices", InvoiceRead, "/v1/invoices/{id}"),
    ("/v1/messages", MessageRead, "/v1/messages/{id}"),
    ("/v1/leads", LeadRead, "/v1/customers/{customer_id}/lead"),
    ("/v1/calls", CallRead, "/v1/calls/{id}"),
    ("/v1/loyalty/entries", LoyaltyEntryRead, ""),
    ("/v1/staff", StaffRead, "/v1/staff/{user_id}"),
]


@pytest.mark.parametrize(("path", "record", "single"), LISTS, ids=[path for path, _, _ in LISTS])
async def test_rows_passed_on_are_the_rows_that_the_models_make(
    http, sign_in, monkeypatch, path, record, single
):
    """Lists pass on what the database printed: to the letter what reading and checking gives."""
    headers = {"Authorization": f"Bearer {sign_in(ADMIN)}"}
    for limit in (1, 2, 3, 200):
        given = await http.get(path, params={"limit": limit}, headers=headers)
        page = Page[record].model_validate_json(given.content)  # type: ignore[valid-type]
        assert page.items
        assert page.model_dump(mode="json") == given.json()
        with monkeypatch.context() as patch:
            patch.setattr(RowsText, "count", None)
            rebuilt = await http.get(path, params={"limit": limit}, headers=headers)
        assert rebuilt.json() == given.json()
    for item in given.json()["items"][:3]:
        if single:
            alone = await http.get(single.format_map(item), headers=headers)
            assert alone.json() == item


@pytest.mark.parametrize("path", [path for path, _, _ in LISTS])
async def test_no_row_of_a_list_is_printed_again(http, sign_in, monkeypatch, path):
    """From the second list on: the first one tells which columns there are."""
    headers = {"Authorization": f"Bearer {sign_in(ADMIN)}"}
    await http.get(path, params={"limit": 2}, headers=headers)
    monkeypatch.delattr(Table, "_rebuilt_page")
    given = await http.get(path, params={"limit": 2}, headers=headers)
    assert len(given.json()["items"]) == 2


@pytest.fixture
async def jobs(manager, customer):
    """Jobs that nobody ever did, that somebody does, and that was given back; newest first."""
    made = []
    for title in ("given back", "taken", "free"):
        made.append(await manager.create_job(JobCreate(customer_id=customer.id, title=title)))
    for job in made[:2]:
        await manager.assign_job(job.id, UUID(AGENT.uid))
    await manager.unassign_job(made[0].id)
    return [made[2], made[1], made[0]]


async def test_jobs_are_passed_on_with_who_does_them(http, sign_in, monkeypatch, jobs):
    """Lists, filtered or not, single jobs and the answers to writes show the same record."""
    headers = {"Authorization": f"Bearer {sign_in(AGENT)}"}
    query = {"customer_id": str(jobs[0].customer_id)}
    shown = [job.model_dump(mode="json") for job in jobs]
    shown[1]["assigned_to"] = AGENT.uid
    monkeypatch.delattr(Table, "_rebuilt_page")
    monkeypatch.delattr(Table, "_items")
    given = await http.get("/v1/jobs", params=query, headers=headers)
    assert given.json() == {"items": shown, "next_cursor": None}
    # The last member in the database's words, too: null is printed, not left out.
    assert given.content.count(b'"assigned_to":null}') == 2
    nobody = await http.get("/v1/jobs", params={**query, "assigned_to": "nobody"}, headers=headers)
    assert nobody.json()["items"] == [shown[0], shown[2]]
    for job, expected in zip(jobs, shown, strict=True):
        alone = await http.get(f"/v1/jobs/{job.id}", headers=headers)
        assert alone.json() == expected
        body = {"description": "now", "version": 1}
        changed = await http.patch(f"/v1/jobs/{job.id}", json=body, headers=headers)
        again = await http.get(f"/v1/jobs/{job.id}", headers=headers)
        assert changed.json() == again.json()
        assert again.json()["assigned_to"] == expected["assigned_to"]


async def test_jobs_of_one_person_come_page_by_page(http, sign_in, manager, customer, monkeypatch):
    """Also passed on; the cursor stands behind the last one shown."""
    await manager.create_job(JobCreate(customer_id=customer.id, title="no. 0, free"))
    made = []
    for number in range(3):
        job = await manager.create_job(JobCreate(customer_id=customer.id, title=f"no. {number}"))
        await manager.assign_job(job.id, UUID(AGENT.uid))
        made.append(str(job.id))
    headers = {"Authorization": f"Bearer {sign_in(AGENT)}"}
    query = {"customer_id": str(customer.id), "assigned_to": "me", "limit": "2", "sort": "title"}
    monkeypatch.setattr(Table, "_rebuilt_page", None)
    first = (await http.get("/v1/jobs", params=query, headers=headers)).json()
    monkeypatch.undo()
    query["cursor"] = first["next_cursor"]
    second = (await http.get("/v1/jobs", params=query, headers=headers)).json()
    assert [[item["id"] for item in page["items"]] for page in (first, second)] == [
        made[:2],
        made[2:],
    ]
    assert {item["assigned_to"] for item in first["items"]} == {AGENT.uid}
    assert second["next_cursor"] is None


class _Fewer(IdRecord):
    """As if the table had got more columns than this service knows."""

    title: str
    assigned_to: UUID | None


async def test_columns_that_are_not_known_are_not_shown(http, sign_in, monkeypatch, jobs):
    """They are left out when they are first met, and not asked for from then on."""
    headers = {"Authorization": f"Bearer {sign_in(AGENT)}"}
    query = {"customer_id": str(jobs[0].customer_id)}
    joined = Joined("job_assignments", ("assigned_to",))
    known = Table("jobs", _Fewer, noun="job", joined=joined)
    monkeypatch.setattr("crm_service.jobs.routes._jobs", known)
    first = await http.get("/v1/jobs", params=query, headers=headers)
    monkeypatch.delattr(Table, "_rebuilt_page")
    second = await http.get("/v1/jobs", params=query, headers=headers)
    assert first.json() == second.json()
    assert [(item["title"], item["assigned_to"]) for item in second.json()["items"]] == [
        ("free", None),
        ("taken", AGENT.uid),
        ("given back", None),
    ]
    assert set(second.json()["items"][0]) == {"id", "version", "created_at", "title", "assigned_to"}
