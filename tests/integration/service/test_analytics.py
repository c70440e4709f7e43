"""The dashboard against what the tables say."""

import pytest

from tests.support.crm import assert_problem
from tests.support.personas import AGENT, MANAGER


@pytest.fixture
def ask(http, sign_in):
    async def ask(persona, **query):
        headers = {"Authorization": f"Bearer {sign_in(persona)}"}
        return await http.get("/v1/analytics/dashboard", params=query, headers=headers)

    return ask


RANGE = {"first_day": "2026-01-01", "last_day": "2026-12-31"}


async def test_the_numbers_are_those_of_the_tables(ask, rest):
    """Counted once more, row by row."""

    async def rows(table, **query):
        response = await rest.get(f"/{table}", params=query, headers={"Range-Unit": "items"})
        response.raise_for_status()
        return response.json()

    board = (await ask(MANAGER, **RANGE)).json()
    within = "(started_at.gte.2026-01-01,started_at.lt.2027-01-01)"
    calls = await rows("calls", **{"and": within, "select": "outcome"})
    assert board["calls"]["total"] == len(calls)
    assert board["calls"]["demos_booked"] == sum(c["outcome"] == "demo_booked" for c in calls)
    assert sum(day["calls"] for day in board["days"]) == len(calls)
    leads = await rows("leads", select="status")
    assert board["leads"]["active"] == sum(x["status"] not in ("won", "lost") for x in leads)
    paid = await rows(
        "invoices",
        select="currency,total_cents",
        **{"and": "(paid_at.gte.2026-01-01,paid_at.lt.2027-01-01,status.eq.paid)"},
    )
    assert {r["currency"]: r["paid_cents"] for r in board["revenue"] if r["paid_cents"]} == {
        currency: sum(row["total_cents"] for row in paid if row["currency"] == currency)
        for currency in {row["currency"] for row in paid}
    }
    assert len(board["days"]) == 365
    assert board["own_only"] is False


async def test_agents_get_their_own(ask, rest):
    """Calls, leads and people are the caller's."""
    board = (await ask(AGENT, **RANGE)).json()
    query = {
        "staff_id": f"eq.{AGENT.uid}",
        "and": "(started_at.gte.2026-01-01,started_at.lt.2027-01-01)",
    }
    assert board["own_only"] is True
    assert board["calls"]["total"] == len((await rest.get("/calls", params=query)).json())
    assert {person["user_id"] for person in board["top_performers"]} <= {AGENT.uid}


async def test_a_month_is_the_default_and_zones_move_days(ask):
    """Thirty days with today; an unknown zone is a clear refusal."""
    assert len((await ask(AGENT)).json()["days"]) == 30
    assert (await ask(AGENT, zone="America/New_York", **RANGE)).status_code == 200
    assert_problem(await ask(AGENT, zone="Mars/Olympus"), 422, "rule-refused")


@pytest.mark.parametrize(
    "query",
    [
        {"first_day": "2026-02-01", "last_day": "2026-01-01"},
        {"first_day": "2020-01-01", "last_day": "2026-01-01"},
        {"first_day": "soon"},
        {"zone": "'; drop table"},
    ],
)
async def test_a_wrong_range_is_named(ask, query):
    """Before the database is asked."""
    assert_problem(await ask(AGENT, **query), 422, "invalid-request")
