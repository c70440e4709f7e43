"""Lists: complete, in order, page by page."""

import pytest
from pydantic import BaseModel

from crm_service.calls.schemas import CallRead
from crm_service.customers.schemas import CustomerRead
from crm_service.invoices.schemas import InvoiceRead
from crm_service.jobs.schemas import JobRead
from crm_service.leads.schemas import LeadRead
from crm_service.loyalty.schemas import LoyaltyEntryRead
from crm_service.messages.schemas import MessageCreate, MessageRead
from crm_service.pagination import Page
from crm_service.row_text import RowsText
from crm_service.staff.schemas import StaffRead
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
