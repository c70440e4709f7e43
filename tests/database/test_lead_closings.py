"""When a lead was won or lost: set by the database, and what the dashboard counts by."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from tests.database.callers import Connection, call
from tests.support.personas import AGENT, MANAGER, customer_id

LEAD = customer_id(150)  # The seed has leads of the first 120 only.
WON_AT = datetime(2024, 3, 10, 12, tzinfo=UTC)
MARCH = (date(2024, 3, 1), date(2024, 3, 31))
IMPORT = """
    insert into leads (customer_id, status, assigned_to, created_at) values ($1, $2, $3, $4)"""
UPDATE = "update leads set {} where customer_id = $1 returning closed_at = now()"
CLOSED_AT = "select closed_at from leads where customer_id = $1"
VERSION = "select version from leads where customer_id = $1"


async def today(db: Connection) -> tuple[date, date]:
    day: date = await db.fetchval("select (now() at time zone 'UTC')::date")
    return day, day


async def leads(db: Connection, who: str, days: tuple[date, date]) -> dict[str, Any]:
    """Return won, lost, conversion rate and who won how many of a range of days."""
    board = await call(db, who, "select dashboard($1, $2)", *days)
    return {
        "won": board["leads"]["won"],
        "lost": board["leads"]["lost"],
        "rate": board["conversion_rate"],
        "by": {p["user_id"]: p["leads_won"] for p in board["top_performers"] if p["leads_won"]},
    }


async def change(db: Connection, who: str, sets: str) -> bool | None:
    """Change the lead; return whether it was closed in this very transaction."""
    is_new: bool | None = await call(db, who, UPDATE.format(sets), LEAD)
    return is_new


@pytest.fixture
async def won(db: Connection) -> None:
    """A lead of the agent that was won in March 2024."""
    await db.execute(IMPORT, LEAD, "won", AGENT.uid, WON_AT)


@pytest.mark.usefixtures("won")
async def test_a_won_lead_that_is_edited_stays_in_the_month_it_was_won(db: Connection) -> None:
    now = await today(db)
    before = await leads(db, "manager", now)
    march = {"won": 1, "lost": 0, "rate": 1, "by": {AGENT.uid: 1}}
    assert await leads(db, "manager", MARCH) == march
    for sets in ("score = 77", "source = 'fair', status = 'won'", "next_follow_up_at = now()"):
        await change(db, "agent", sets)
        assert await db.fetchval(CLOSED_AT, LEAD) == WON_AT
    assert await leads(db, "manager", MARCH) == await leads(db, "agent", MARCH) == march
    await change(db, "manager", f"assigned_to = '{MANAGER.uid}'")
    assert await leads(db, "manager", MARCH) == {**march, "by": {MANAGER.uid: 1}}
    assert await leads(db, "manager", now) == before
    # Agents count their own: this one is somebody else's now.
    assert await leads(db, "agent", MARCH) == {"won": 0, "lost": 0, "rate": None, "by": {}}


@pytest.mark.usefixtures("won")
async def test_another_result_is_another_closing(db: Connection) -> None:
    now = await today(db)
    before = await leads(db, "manager", now)
    assert await change(db, "agent", "status = 'lost'") is True
    after = await leads(db, "manager", now)
    assert (after["won"], after["lost"]) == (before["won"], before["lost"] + 1)
    assert (await leads(db, "manager", MARCH))["won"] == 0
    assert await change(db, "agent", "status = 'won'") is True
    after = await leads(db, "manager", now)
    assert (after["won"], after["lost"]) == (before["won"] + 1, before["lost"])


@pytest.mark.usefixtures("won")
async def test_a_reopened_lead_is_not_closed(db: Connection) -> None:
    assert await change(db, "agent", "status = 'qualified'") is None
    assert await leads(db, "manager", MARCH) == {"won": 0, "lost": 0, "rate": None, "by": {}}
    assert await change(db, "agent", "status = 'won'") is True


@pytest.mark.parametrize("who", ["agent", "manager", "service_role"])
async def test_a_lead_that_is_made_as_won_is_won_then_whatever_its_maker_says(
    db: Connection, who: str
) -> None:
    made = """insert into leads (customer_id, status, assigned_to, created_at, closed_at)
        values ($1, 'won', $2, '2020-01-01', '2020-01-01') returning closed_at = now()"""
    assert await call(db, who, made, LEAD, AGENT.uid) is True


async def test_a_lead_that_is_made_open_is_not_closed(db: Connection) -> None:
    made = "insert into leads (customer_id, closed_at) values ($1, now()) returning closed_at"
    assert await db.fetchval(made, LEAD) is None


async def test_the_owner_may_import_when_a_lead_was_lost(db: Connection) -> None:
    made = """insert into leads (customer_id, status, created_at, closed_at)
        values ($1, 'lost', '2020-01-01', $2) returning closed_at"""
    assert await db.fetchval(made, LEAD, WON_AT) == WON_AT


@pytest.mark.usefixtures("won")
@pytest.mark.parametrize("who", ["agent", "manager", "service_role", "owner"])
@pytest.mark.parametrize("sets", ["closed_at = now()", "closed_at = null, status = 'won'"])
async def test_nobody_writes_it(db: Connection, who: str, sets: str) -> None:
    if who == "owner":
        await db.execute(UPDATE.format(sets), LEAD)
    else:
        await change(db, who, sets)
    assert await db.fetchval(CLOSED_AT, LEAD) == WON_AT
    assert await db.fetchval(VERSION, LEAD) == 1


@pytest.mark.usefixtures("won")
async def test_a_won_lead_that_is_saved_again_changes_nothing(db: Connection) -> None:
    row = {"customer_id": LEAD, "status": "won", "score": 0, "assigned_to": AGENT.uid}
    saved = await call(db, "agent", "select bulk_write('leads', $1, false, 'save')", [row])
    assert [result["status"] for result in saved] == ["unchanged"]
    assert await db.fetchval(CLOSED_AT, LEAD) == WON_AT


@pytest.mark.usefixtures("won")
async def test_history_merge_and_restore_speak_of_the_status_alone(db: Connection) -> None:
    await change(db, "agent", "status = 'contacted'")
    await change(db, "agent", "status = 'lost', score = 3")
    history = await call(db, "agent", "select row_history('leads', $1)", LEAD)
    newest, reopened, made = history["entries"]
    assert set(newest["new"]) == {"status", "score"}
    assert set(reopened["old"]) == {"status"}
    assert "closed_at" not in made["new"]
    since = await call(db, "agent", "select fields_changed_since('leads', $1, 1)", LEAD)
    assert (since["complete"], set(since["fields"])) == (True, {"status", "score"})
    restore = "select restore_row('leads', $1, $2)"
    restored = await call(db, "agent", restore, LEAD, reopened["id"])
    assert (restored["restored"], restored["not_restored"]) == (["score", "status"], [])
    assert restored["row"]["closed_at"] is None
    restored = await call(db, "agent", restore, LEAD, made["id"])
    assert (restored["restored"], restored["not_restored"]) == (["status"], [])
    # Restoring is a new write: the lead is won again, today.
    assert restored["row"]["closed_at"] == restored["row"]["updated_at"]


async def test_what_is_closed_has_its_time_and_nothing_else_has(db: Connection) -> None:
    strange = await db.fetchval(
        "select count(*) from leads where (status in ('won', 'lost')) <> (closed_at is not null)"
    )
    assert strange == 0
    assert await db.fetchval("select count(*) from leads where closed_at = created_at") == 40
    checked = "select convalidated from pg_constraint where conname = 'leads_closed_has_time'"
    assert await db.fetchval(checked) is True
