"""Invoices are marked as overdue by a day that has begun on earth, and by none to come."""

from __future__ import annotations

import asyncpg
import pytest

from tests.database.callers import Connection, call
from tests.support.personas import customer_id

MARK = "select mark_overdue_invoices(%s)"
# Kiritimati is the first place where a day begins.
LATEST = "(now() at time zone 'Pacific/Kiritimati')::date"
STATUSES = "select array_agg(id::text || status || version order by id) from invoices"


async def send_due(db: Connection, day: str) -> str:
    """Send an invoice that is due on a day; return its id."""
    made = await db.fetchval(
        "select id from create_invoice(jsonb_build_object('customer_id', $1::text, 'due_on', "
        f'{day}), \'[{{"description": "x", "unit_price_cents": 5}}]\')',
        customer_id(1),
    )
    await db.execute("update invoices set status = 'sent' where id = $1", made)
    return str(made)


@pytest.mark.parametrize("who", ["agent", "admin", "service_role"])
@pytest.mark.parametrize("day", [f"{LATEST} + 1", "date '2999-01-01'", "date 'infinity'"])
async def test_a_day_to_come_is_refused(db: Connection, who: str, day: str) -> None:
    """Whoever names it; the refusal says which argument and what would do."""
    await send_due(db, f"{LATEST}")
    before = await db.fetchval(STATUSES)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await call(db, who, MARK % f"({day})::date")
    error = refused.value
    assert (error.sqlstate, error.args[0]) == ("22023", "due_before must be a day that has begun")
    assert error.detail == f"due_before: {await db.fetchval(f'select ({day})::date::text')}"
    latest = await db.fetchval(f"select {LATEST}::text")
    assert error.hint == f"The latest day that has begun somewhere on earth is {latest}."
    assert await db.fetchval(STATUSES) == before


@pytest.mark.parametrize("day", [LATEST, "(now() at time zone 'UTC')::date", "null"])
async def test_a_day_that_has_begun_marks_what_was_due_before_it(db: Connection, day: str) -> None:
    """Without a day it is today in UTC."""
    asked = day.replace("null", "(now() at time zone 'UTC')::date")
    due, not_due = await send_due(db, f"{asked} - 1"), await send_due(db, asked)
    await call(db, "agent", MARK % day)
    found = await db.fetch(
        "select id::text, status from invoices where id = any($1)", [due, not_due]
    )
    assert dict(found) == {due: "overdue", not_due: "sent"}


async def test_a_session_elsewhere_does_not_move_the_day(db: Connection) -> None:
    """The latest day is that of the earth, whatever the session's time zone is."""
    for zone in ("Etc/GMT+12", "Pacific/Kiritimati"):
        await db.execute(f"set timezone = '{zone}'")
        await call(db, "agent", MARK % LATEST)
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await call(db, "agent", MARK % f"({LATEST} + 1)")
