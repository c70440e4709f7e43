"""Leads, their notes, calls, staff."""

from uuid import uuid4

import asyncpg
import pytest

from tests.support.crm import assert_problem
from tests.support.personas import ADMIN, AGENT, MANAGER, UNLINKED, customer_id


@pytest.fixture
def ask(http, sign_in):
    async def ask(persona, method, path, body=None, **headers):
        auth = {"Authorization": f"Bearer {sign_in(persona)}", **headers}
        return await http.request(method, f"/v1/{path}", json=body, headers=auth)

    return ask


@pytest.fixture
async def lead(ask, customer):
    """A lead of the agent."""
    path = f"customers/{customer.id}/lead"
    response = await ask(AGENT, "POST", path, {"score": 40, "source": "fair"})
    assert response.status_code == 201
    return path, response.json()


async def test_a_lead_belongs_to_who_makes_it(ask, lead):
    """The answer is the row; the lead is where it says."""
    path, made = lead
    assert (made["assigned_to"], made["score"], made["status"]) == (AGENT.uid, 40, "new")
    again = await ask(AGENT, "GET", path)
    assert again.json() == made
    assert again.headers["etag"] == '"1"'


async def test_a_second_lead_of_a_customer_is_refused(ask, lead):
    """One per customer; the very same request is answered again."""
    path, made = lead
    same = await ask(AGENT, "POST", path, {"score": 40, "source": "fair"})
    assert (same.status_code, same.json()) == (201, made)
    assert same.headers["idempotency-replayed"] == "true"
    assert_problem(await ask(AGENT, "POST", path, {"score": 1}), 409, "already-exists")


async def test_a_lead_moves_on_and_is_won(ask, lead):
    """Status, score, value, follow-up; converting makes it certain."""
    path, _ = lead
    change = {
        "status": "qualified",
        "conversion_probability": 0.5,
        "estimated_value_cents": 9900,
        "next_follow_up_at": "2026-12-01T09:00:00Z",
        "version": 1,
    }
    response = await ask(AGENT, "PATCH", path, change)
    assert response.status_code == 200
    won = (await ask(AGENT, "POST", f"{path}/convert")).json()
    assert (won["status"], won["conversion_probability"], won["version"]) == ("won", 1.0, 3)


async def test_a_won_lead_tells_when_it_was_won_until_it_is_reopened(ask, lead):
    """Whatever else is changed about it; nobody says so themselves."""
    path, made = lead
    assert made["closed_at"] is None
    won = (await ask(AGENT, "POST", f"{path}/convert")).json()
    assert won["closed_at"] == won["updated_at"]
    later = (await ask(AGENT, "PATCH", path, {"score": 90, "version": 2})).json()
    assert later["closed_at"] == won["closed_at"] < later["updated_at"]
    assert (await ask(AGENT, "GET", path)).json() == later
    said = {"closed_at": "2020-01-01T00:00:00Z", "version": 3}
    assert_problem(await ask(AGENT, "PATCH", path, said), 422, "invalid-request")
    reopened = (await ask(AGENT, "PATCH", path, {"status": "contacted", "version": 3})).json()
    assert reopened["closed_at"] is None


async def test_agents_do_not_see_leads_of_others(ask, lead):
    """After a manager has reassigned it, it is gone for the agent; agents reassign nothing."""
    path, _ = lead
    take = {"assigned_to": MANAGER.uid, "version": 1}
    assert_problem(await ask(AGENT, "PATCH", path, take), 403, "forbidden")
    assert (await ask(MANAGER, "PATCH", path, take)).status_code == 200
    assert_problem(await ask(AGENT, "GET", path), 404, "not-found")
    listed = (await ask(AGENT, "GET", f"leads?assigned_to={MANAGER.uid}")).json()
    assert listed["items"] == []


async def test_what_is_not_there_is_404_to_everybody(ask, lead):
    """No customer, no lead, or somebody else's: the path leads nowhere, whatever the role."""
    path, _ = lead
    none, note = f"customers/{customer_id(1999)}/lead", {"body": "Who?"}
    for who in (AGENT, MANAGER):
        problem = assert_problem(await ask(who, "POST", none, {}), 404, "not-found")
        assert problem["detail"] == "There is no customer with this id."
        assert_problem(await ask(who, "POST", f"{none}/notes", note), 404, "not-found")
    take = {"assigned_to": MANAGER.uid, "version": 1}
    assert (await ask(MANAGER, "PATCH", path, take)).status_code == 200
    assert_problem(await ask(AGENT, "POST", f"{path}/notes", note), 404, "not-found")


async def test_leads_are_filtered_and_sorted(ask, lead):
    """By status and score, best first."""
    response = await ask(MANAGER, "GET", "leads?status=new&status=won&min_score=30&sort=-score")
    items = response.json()["items"]
    scores = [item["score"] for item in items]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 30
    assert {item["status"] for item in items} <= {"new", "won"}


async def test_notes_follow_their_lead(ask, lead):
    """Written in the author's name, listed newest first, edited by the author."""
    path, _ = lead
    for kind in ("call", "meeting"):
        response = await ask(AGENT, "POST", f"{path}/notes", {"kind": kind, "body": kind})
        assert response.status_code == 201
        assert response.json()["author_id"] == AGENT.uid
        assert response.headers["location"].endswith(f"notes/{response.json()['id']}")
    items = (await ask(AGENT, "GET", f"{path}/notes")).json()["items"]
    assert [item["kind"] for item in items] == ["meeting", "call"]
    note = f"{path}/notes/{items[0]['id']}"
    changed = await ask(AGENT, "PATCH", note, {"body": "Met", "version": 1})
    assert changed.json()["body"] == "Met"
    assert (await ask(AGENT, "GET", note)).json() == changed.json()
    elsewhere = f"customers/{customer_id(1)}/lead/notes/{items[0]['id']}"
    assert_problem(await ask(AGENT, "GET", elsewhere), 404, "not-found")
    change = {"body": "Elsewhere", "version": 2}
    assert_problem(await ask(AGENT, "PATCH", elsewhere, change), 404, "not-found")


async def test_a_call_is_logged_and_ended(ask, customer):
    """It is the caller's own; agents log none for others."""
    body = {"customer_id": str(customer.id), "direction": "outbound"}
    made = (await ask(AGENT, "POST", "calls", body)).json()
    assert made["staff_id"] == AGENT.uid
    change = {"ended_at": "2099-01-01T00:00:00Z", "outcome": "demo_booked", "version": 1}
    assert (await ask(AGENT, "PATCH", f"calls/{made['id']}", change)).status_code == 200
    listed = await ask(AGENT, "GET", f"calls?customer_id={customer.id}&outcome=demo_booked")
    assert [item["id"] for item in listed.json()["items"]] == [made["id"]]
    foreign = {**body, "staff_id": MANAGER.uid}
    assert_problem(await ask(AGENT, "POST", "calls", foreign), 403, "forbidden")
    assert (await ask(MANAGER, "POST", "calls", {**body, "staff_id": AGENT.uid})).is_success


async def test_everybody_knows_who_they_are(ask):
    """Name and role of the caller."""
    me = (await ask(AGENT, "GET", "me")).json()
    assert (me["user_id"], me["role"]) == (AGENT.uid, "agent")


@pytest.fixture
async def newcomer(stack):
    """Somebody without a place in the company, who is a stranger again afterwards."""
    yield UNLINKED
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute("delete from public.staff where user_id = $1", UNLINKED.uid)
    finally:
        await connection.close()


async def test_admins_manage_staff_and_others_do_not(ask, newcomer):
    """Added, promoted, deactivated; a stale change is refused with the row."""
    body = {"user_id": newcomer.uid, "full_name": "New One", "email": "new@crm.example"}
    for persona in (AGENT, MANAGER):
        assert_problem(await ask(persona, "POST", "staff", body), 403, "forbidden")
    made = await ask(ADMIN, "POST", "staff", body)
    assert made.status_code == 201
    path = f"staff/{newcomer.uid}"
    try:
        assert (await ask(newcomer, "GET", "me")).json()["role"] == "agent"
        assert_problem(
            await ask(AGENT, "PATCH", path, {"role": "admin", "version": 1}), 403, "forbidden"
        )
        promoted = await ask(ADMIN, "PATCH", path, {"role": "manager", "version": 1})
        assert promoted.json()["role"] == "manager"
        stale = await ask(ADMIN, "PATCH", path, {"role": "admin", "version": 1})
        assert assert_problem(stale, 409, "stale-version")["current"]["role"] == "manager"
    finally:
        gone = await ask(ADMIN, "PATCH", path, {"active": False}, **{"If-Match": "*"})
    assert gone.json()["active"] is False
    assert_problem(await ask(newcomer, "GET", "me"), 403, "staff-inactive")


async def test_who_is_staff_already_is_changed_by_the_call_that_is_named(ask):
    """Not by a function of the database."""
    body = {"user_id": AGENT.uid, "full_name": "Somebody Else", "email": "else@crm.example"}
    problem = assert_problem(await ask(ADMIN, "POST", "staff", body), 409, "already-exists")
    assert f"PATCH /v1/staff/{AGENT.uid}" in problem["detail"]
    assert "update_staff" not in problem["detail"]


async def test_nobody_changes_their_own_role(ask):
    """Not even an admin."""
    response = await ask(
        ADMIN, "PATCH", f"staff/{ADMIN.uid}", {"role": "agent"}, **{"If-Match": "*"}
    )
    assert_problem(response, 403, "forbidden")


async def test_a_sign_in_that_does_not_exist_cannot_become_staff(ask):
    """The reference is named."""
    body = {"user_id": str(uuid4()), "full_name": "No One", "email": "no@crm.example"}
    assert_problem(await ask(ADMIN, "POST", "staff", body), 409, "unknown-reference")
