"""An admin puts a member of staff back; the guards of staff hold, and nobody else may."""

from __future__ import annotations

import asyncpg
import pytest

from tests.database.callers import Connection, call, refusal
from tests.database.waiting import begun, two_sessions, waiting
from tests.support.cluster import Database
from tests.support.personas import ADMIN, Persona, acting_as, staff_uid

RESTORE = "select restore_row('staff', $1, $2)"
UPDATE = "select to_jsonb(update_staff($1, $2))"
ROW = "select to_jsonb(s) - 'updated_at' from staff as s where user_id = $1"
LAST = "select max(id) from activity_log where table_name = 'staff' and row_id = $1::uuid::text"
FIRST = LAST.replace("max", "min")
AGENT, MANAGER = staff_uid(3), staff_uid(2)
SECOND = Persona("second_admin", "authenticated", MANAGER, "manager@crm.example")
CHANGES = {"role": "manager", "active": False, "full_name": "Other", "email": "other@crm.example"}


async def test_an_admin_puts_a_member_of_staff_back(db: Connection) -> None:
    """As a new write in the log, with a new version, at the version that was seen."""
    before = await db.fetchval(ROW, AGENT)
    await call(db, "admin", UPDATE, AGENT, CHANGES)
    first, entries = await db.fetchval(FIRST, AGENT), await db.fetchval(LAST, AGENT)
    stale = "select restore_row('staff', $1, $2, 1)"
    assert (await refusal(db, "admin", stale, AGENT, first))[0] == "PT409"
    answer = await call(db, "admin", "select restore_row('staff', $1, $2, 2)", AGENT, first)
    assert answer["restored"] == sorted(CHANGES)
    assert answer["not_restored"] == []
    after = await db.fetchval(ROW, AGENT)
    assert after == before | {"version": 3}
    assert answer["row"].items() >= after.items()
    entry = await db.fetchrow(
        "select * from activity_log where id = $1", await db.fetchval(LAST, AGENT)
    )
    assert entry is not None
    assert entry["id"] > entries
    assert (entry["op"], str(entry["actor"]), entry["row_version"]) == ("update", ADMIN.uid, 3)
    assert entry["old"] == CHANGES
    again = await call(db, "admin", RESTORE, AGENT, first)
    assert (again["restored"], again["not_restored"]) == ([], [])
    assert await db.fetchval(ROW, AGENT) == after


@pytest.mark.parametrize("who", ["agent", "manager", "inactive", "customer_a"])
async def test_nobody_else_may(db: Connection, who: str) -> None:
    """Nor learn whether there is such a change."""
    await call(db, "admin", UPDATE, AGENT, {"full_name": "Other"})
    before = await db.fetchval(ROW, AGENT)
    for change in (await db.fetchval(FIRST, AGENT), 1):
        code, message = await refusal(db, who, RESTORE, AGENT, change)
        assert code == "42501"
        if who in {"agent", "manager"}:
            assert message == "only admins may restore staff"
    assert await db.fetchval(ROW, AGENT) == before


async def test_nobody_puts_back_their_own_role(db: Connection) -> None:
    """Somebody who was made an admin long ago cannot make themselves one again, or less."""
    await call(db, "admin", UPDATE, MANAGER, {"role": "admin"})
    refused = await refusal(db, SECOND, RESTORE, MANAGER, await db.fetchval(FIRST, MANAGER))
    assert refused == ("42501", "nobody changes their own role")
    await call(db, "admin", UPDATE, MANAGER, {"full_name": "Renamed"})
    renamed = await db.fetchval(LAST, MANAGER)
    await call(db, "admin", UPDATE, MANAGER, {"full_name": "Again"})
    answer = await call(db, SECOND, RESTORE, MANAGER, renamed)
    assert answer["restored"] == ["full_name"]


async def test_the_last_admin_stays_one(db: Connection) -> None:
    """Also for the secret key, which passes the guard of one's own role."""
    await db.execute("update staff set role = 'agent' where user_id = $1", AGENT)
    await db.execute("update staff set role = 'admin' where user_id = $1", MANAGER)
    await db.execute("update staff set active = false where user_id = $1", ADMIN.uid)
    first = await db.fetchval(FIRST, MANAGER)
    with pytest.raises(asyncpg.CheckViolationError, match="the last admin"):
        await call(db, "service_role", RESTORE, MANAGER, first)
    assert await db.fetchval("select role from staff where user_id = $1", MANAGER) == "admin"


async def test_of_two_admins_who_put_each_other_back_one_remains(database: Database) -> None:
    """The second one waits, and is no admin any more."""
    async with two_sessions(database) as (one, other):
        await one.execute("update staff set role = 'admin' where user_id = $1", MANAGER)
        await one.execute("update staff set role = 'agent' where user_id = $1", ADMIN.uid)
        demoted = await one.fetchval(LAST, ADMIN.uid)
        first_of_manager = await one.fetchval(FIRST, MANAGER)
        await one.execute("update staff set role = 'admin' where user_id = $1", ADMIN.uid)
        first, second = await begun(one), await begun(other)
        await acting_as(one, "admin")
        await acting_as(other, SECOND)
        await one.fetchval(RESTORE, MANAGER, first_of_manager)
        await one.execute("reset role")
        refused = await waiting(one, other, other.execute(RESTORE, ADMIN.uid, demoted))
        await first.commit()
        assert await refused == "42501 only admins may change staff"
        await second.rollback()
        assert await one.fetchval("select count(*) from staff where role = 'admin' and active") == 1
