"""Whom one may give a lead to is told by trying: what is foretold is what happens."""

from __future__ import annotations

import uuid

import asyncpg
import pytest

from tests.database.callers import Connection, call, refusal
from tests.support.personas import staff_uid

TRY = "select try_lead_owners($1::uuid[])"
ADMIN, MANAGER, AGENT, INACTIVE = (staff_uid(number) for number in (1, 2, 3, 4))
UNKNOWN = str(uuid.UUID(int=7))
OWNERS = [ADMIN, MANAGER, AGENT, INACTIVE, UNKNOWN]
LEAD = "insert into leads (customer_id, assigned_to) select id, $1 from customers where name = 'N'"
STATE = """select array[(select count(*) from customers), (select count(*) from leads),
    (select max(id) from activity_log), (select count(*) from sync_changes),
    (select count(*) from realtime.messages), (select count(*) from private.sync_pending)]"""


@pytest.mark.parametrize("who", ["agent", "manager", "admin", "service_role", "inactive"])
async def test_what_is_foretold_happens(db: Connection, who: str) -> None:
    """For each person: the same code and message, or a lead."""
    before = await db.fetchval(STATE)
    foretold = {row["id"]: row for row in await call(db, who, TRY, OWNERS * 2)}
    assert await db.fetchval(STATE) == before
    await db.execute("insert into customers (name) values ('N')")
    for owner in OWNERS:
        if owner in foretold and who != "inactive":
            happened = await refusal(db, who, LEAD, owner)
            assert happened == (foretold[owner]["code"], foretold[owner]["message"])
        elif owner not in foretold:
            await call(db, who, LEAD, owner)
            await db.execute(
                "delete from leads where customer_id = (select id from customers where name = 'N')"
            )
    refused = {owner for owner in OWNERS if owner in foretold}
    assert refused == {
        "agent": {ADMIN, MANAGER, INACTIVE, UNKNOWN},
        "inactive": set(OWNERS),
    }.get(who, {INACTIVE, UNKNOWN})


async def test_the_rule_of_the_table_is_the_one_that_answers(db: Connection) -> None:
    """A policy that is changed changes the answer; there is no second copy of it."""
    assert len(await call(db, "agent", TRY, [MANAGER])) == 1
    await db.execute(
        'alter policy "staff add leads, agents for themselves" on leads with check (true)'
    )
    assert await call(db, "agent", TRY, [MANAGER]) == []
    await db.execute("alter table leads disable trigger p_lead_owner")
    assert await call(db, "agent", TRY, [INACTIVE]) == []


async def test_nothing_is_rung_or_claimed(db: Connection) -> None:
    """The transaction goes on as if nobody had asked."""
    before = await db.fetchval(STATE)
    assert await call(db, "agent", TRY, [AGENT], key="k") == []
    assert await db.fetchval(STATE) == before
    assert await call(db, "agent", TRY, []) == []


@pytest.mark.parametrize("owners", [None, [AGENT] * 1001])
async def test_too_many_are_refused(db: Connection, owners: list[str] | None) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="at most 1000"):
        await call(db, "agent", TRY, owners)


@pytest.mark.parametrize("who", ["customer_a", "unlinked"])
async def test_others_may_give_it_to_nobody(db: Connection, who: str) -> None:
    answer = await call(db, who, TRY, OWNERS)
    assert {row["id"] for row in answer} == set(OWNERS)
    assert {row["code"] for row in answer} == {"42501"}
