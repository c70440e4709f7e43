"""The dashboard against what the tables say."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from crm_service.analytics.schemas import Dashboard
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
    leads = await all_rows(rest, "leads", {"select": "status"}, key="customer_id")
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


def instant(text):
    return datetime.fromisoformat(text).astimezone(UTC)


async def all_rows(rest, table, query, key="id"):
    """Read page by page: an answer has at most a thousand rows."""
    rows, page = [], None
    while page is None or len(page) == 1000:
        paging = {"order": key, "offset": len(rows), "limit": 1000}
        page = (await rest.get(f"/{table}", params={**query, **paging})).json()
        rows += page
    return rows


@pytest.mark.parametrize(
    ("zone", "first_day", "last_day"),
    [
        ("UTC", date(2026, 1, 1), date(2026, 12, 31)),
        # Its clocks change twice within the range.
        ("America/New_York", date(2025, 10, 1), date(2026, 9, 30)),
        ("Asia/Kolkata", date(2026, 10, 31), date(2026, 11, 1)),
        ("Europe/Berlin", date(2026, 2, 1), date(2026, 10, 31)),
    ],
)
async def test_each_day_has_what_happened_between_its_midnights(
    ask, rest, zone, first_day, last_day
):
    """Counted once more from the rows, with Python's calendar."""

    async def days(table, column, **query):
        for row in await all_rows(rest, table, {column: "not.is.null", **query}):
            day = instant(row[column]).astimezone(ZoneInfo(zone)).date()
            if first_day <= day <= last_day:
                yield day, row

    query = {"first_day": str(first_day), "last_day": str(last_day), "zone": zone}
    answer = (await ask(MANAGER, **query)).content
    board = Dashboard.model_validate_json(answer, extra="forbid")
    every = [first_day + timedelta(days=n) for n in range((last_day - first_day).days + 1)]
    seen = {name: Counter() for name in ("calls", "jobs", "invoiced", "paid")}
    by_currency = {"invoiced": Counter(), "paid": Counter()}
    async for day, _ in days("calls", "started_at"):
        seen["calls"][day] += 1
    async for day, _ in days("jobs", "completed_at", deleted_at="is.null"):
        seen["jobs"][day] += 1
    async for day, row in days("invoices", "sent_at", status="neq.void"):
        seen["invoiced"][day] += row["total_cents"]
        by_currency["invoiced"][row["currency"]] += row["total_cents"]
    async for day, row in days("invoices", "paid_at", status="eq.paid"):
        seen["paid"][day] += row["total_cents"]
        by_currency["paid"][row["currency"]] += row["total_cents"]
    assert [each.day for each in board.days] == every
    assert [
        (each.calls, each.jobs_completed, each.invoiced_cents, each.paid_cents)
        for each in board.days
    ] == [tuple(of[day] for of in seen.values()) for day in every]
    assert {
        each.currency: each.invoiced_cents for each in board.revenue if each.invoiced_cents
    } == (+by_currency["invoiced"])
    assert {each.currency: each.paid_cents for each in board.revenue if each.paid_cents} == (
        +by_currency["paid"]
    )
    created = Counter(
        [row["status"] async for _, row in days("jobs", "created_at", deleted_at="is.null")]
    )
    assert board.jobs_by_status == created
    points = [row async for _, row in days("loyalty_transactions", "created_at")]
    assert board.loyalty.issued == sum(max(row["points"], 0) for row in points)
    assert board.loyalty.redeemed == -sum(r["points"] for r in points if r["kind"] == "redeem")


async def test_the_best_are_told_with_what_they_did(ask, rest):
    """Calls, demos and leads won per person, ten at most, the best first."""
    board = (await ask(MANAGER, **RANGE)).json()
    within = ("gte.2026-01-01", "lt.2027-01-01")
    calls = (await rest.get("/calls", params=[("started_at", each) for each in within])).json()
    won = [("closed_at", each) for each in within] + [("status", "eq.won")]
    leads = (await rest.get("/leads", params=won)).json()
    people = {row["user_id"]: row["full_name"] for row in (await rest.get("/staff")).json()}
    numbers = [
        {
            "user_id": uid,
            "full_name": name,
            "calls": sum(call["staff_id"] == uid for call in calls),
            "demos_booked": sum(
                call["staff_id"] == uid and call["outcome"] == "demo_booked" for call in calls
            ),
            "leads_won": sum(lead["assigned_to"] == uid for lead in leads),
        }
        for uid, name in people.items()
    ]
    order = ("leads_won", "demos_booked", "calls")
    best = sorted(
        (each for each in numbers if each["calls"] or each["leads_won"]),
        key=lambda each: (*(-each[name] for name in order), each["full_name"]),
    )
    assert board["top_performers"] == best[:10]
    assert best


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


# One of them is always at another date than UTC.
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
async def test_today_is_the_zone_s_own(ask, zone):
    """The default range ends with the day that it is there."""
    before = datetime.now(ZoneInfo(zone)).date()
    board = (await ask(MANAGER, zone=zone)).json()
    after = datetime.now(ZoneInfo(zone)).date()
    assert str(before) <= board["last_day"] <= str(after)
    assert len(board["days"]) == 30


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
