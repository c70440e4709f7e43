"""Lists: complete, in order, page by page."""

from crm_service.messages.schemas import MessageCreate
from tests.support.crm import assert_problem
from tests.support.personas import AGENT, customer_id


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
