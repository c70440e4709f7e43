"""Staff rows change through checked calls only; nobody lifts themselves up; an admin remains."""

from __future__ import annotations

import asyncio
from typing import Literal

import asyncpg
import pytest

from tests.database.callers import Connection, call, connect, refusal
from tests.support.cluster import Database
from tests.support.personas import ADMIN, UNLINKED, Persona, acting_as, portal_uid, staff_uid

Isolation = Literal["read_committed", "repeatable_read", "serializable"]
UPDATE = "select to_jsonb(update_staff($1, $2))"
CREATE = "select to_jsonb(create_staff($1, 'New Person', 'new@crm.example', $2))"
LAST = ("23514", "the last admin cannot be demoted, deactivated or removed")
SECOND = Persona("second_admin", "authenticated", staff_uid(2), "manager@crm.example")


async def test_an_admin_adds_and_changes_staff(db: Connection) -> None:
    made = await call(db, "admin", CREATE, UNLINKED.uid, "agent")
    assert (made["role"], made["active"], made["version"]) == ("agent", True, 1)
    changed = await call(db, "admin", UPDATE, UNLINKED.uid, {"role": "manager", "email": "n@x.yz"})
    assert (changed["role"], changed["email"], changed["full_name"]) == (
        "manager",
        "n@x.yz",
        "New Person",
    )
    log = await db.fetchrow(
        "select actor::text, op, new from activity_log where table_name = 'staff' "
        "order by id desc limit 1"
    )
    assert log is not None
    assert tuple(log) == (ADMIN.uid, "update", {"role": "manager", "email": "n@x.yz"})


async def test_nobody_but_admins_may(db: Connection) -> None:
    for who in ("customer_a", "unlinked", "agent", "manager", "inactive"):
        assert await refusal(db, who, CREATE, UNLINKED.uid, "admin") == (
            "42501",
            "only admins may add staff",
        )
        assert await refusal(db, who, UPDATE, staff_uid(4), {"active": True}) == (
            "42501",
            "only admins may change staff",
        )
    assert (await refusal(db, "anon", CREATE, UNLINKED.uid, "admin"))[0] == "42501"


async def test_nobody_changes_their_own_role(db: Connection) -> None:
    await db.execute("update staff set role = 'admin' where user_id = $1", staff_uid(2))
    for changes in ({"role": "agent"}, {"active": False}):
        assert await refusal(db, "admin", UPDATE, ADMIN.uid, changes) == (
            "42501",
            "nobody changes their own role",
        )
    renamed = await call(db, "admin", UPDATE, ADMIN.uid, {"full_name": "Ada L."})
    assert (renamed["full_name"], renamed["role"]) == ("Ada L.", "admin")


@pytest.mark.parametrize(
    "sql",
    [
        "update staff set role = 'agent' where role = 'admin'",
        "update staff set active = false",
        "delete from staff where role = 'admin'",
    ],
)
async def test_the_last_admin_stays_for_the_owner_too(db: Connection, sql: str) -> None:
    await db.execute("delete from leads")
    with pytest.raises(asyncpg.CheckViolationError, match="the last admin cannot be"):
        await db.execute(sql)
    if sql.startswith("update"):
        async with db.transaction():
            await acting_as(db, "service_role")
            with pytest.raises(asyncpg.CheckViolationError, match="the last admin cannot be"):
                await db.execute(f"{sql}")


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
async def test_two_admins_who_demote_each_other_leave_one(
    database: Database, isolation: Isolation
) -> None:
    first, second = await connect(database), await connect(database)
    try:
        await first.execute("update staff set role = 'admin' where user_id = $1", staff_uid(2))
        both_began = asyncio.Barrier(2)

        async def demote(db: Connection, who: Persona, victim: str) -> str:
            try:
                async with db.transaction(isolation=isolation):
                    await acting_as(db, who)
                    await db.fetchval("select count(*) from staff")  # takes the snapshot
                    await both_began.wait()
                    await db.execute(UPDATE, victim, {"role": "agent"})
            except asyncpg.PostgresError as error:
                return error.sqlstate
            return "done"

        outcomes = await asyncio.gather(
            demote(first, ADMIN, staff_uid(2)), demote(second, SECOND, staff_uid(1))
        )
        admins = await first.fetchval("select count(*) from staff where role = 'admin' and active")
        assert admins == 1
        assert max(outcomes) == "done"
        assert min(outcomes) in {"42501", "40001"}, outcomes
    finally:
        await first.close()
        await second.close()


async def test_bad_values_are_named_and_nothing_is_written(db: Connection) -> None:
    before = await db.fetch("select * from staff order by user_id")
    assert (await refusal(db, "admin", UPDATE, staff_uid(3), {"role": "boss"}))[0] == "23514"
    assert await refusal(db, "admin", UPDATE, staff_uid(3), {"user_id": ADMIN.uid}) == (
        "22023",
        "changes has unknown keys: user_id",
    )
    assert await refusal(db, "admin", UPDATE, portal_uid(1), {"role": "admin"}) == (
        "PT404",
        "no such row",
    )
    assert (await refusal(db, "admin", UPDATE, staff_uid(3), [1]))[0] == "22023"
    stale = "select to_jsonb(update_staff($1, $2, 7))"
    assert await refusal(db, "admin", stale, staff_uid(3), {"role": "manager"}) == (
        "PT409",
        "the row has changed since version 7",
    )
    assert await refusal(db, "admin", CREATE, portal_uid(1), "agent") == (
        "PT409",
        "this login belongs to a customer",
    )
    assert (await refusal(db, "admin", CREATE, staff_uid(3), "agent"))[0] == "23505"
    assert (await refusal(db, "admin", CREATE, staff_uid(99), "agent"))[0] == "23503"
    assert await db.fetch("select * from staff order by user_id") == before


@pytest.mark.parametrize(
    "table",
    [
        "staff",
        "loyalty_transactions",
        "loyalty_accounts",
        "activity_log",
        "sync_scopes",
        "sync_changes",
        "private.portal_invites",
    ],
)
async def test_truncate_is_refused_for_the_owner_too(db: Connection, table: str) -> None:
    before = await db.fetchval(f"select count(*) from {table}")
    with pytest.raises(asyncpg.PostgresError, match="truncate") as refused:
        await db.execute(f"truncate {table} cascade")
    assert refused.value.sqlstate == "42501"
    assert refused.value.hint
    assert await db.fetchval(f"select count(*) from {table}") == before


async def test_the_log_is_deleted_from_only_when_it_is_old(db: Connection) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append only: no delete"):
        await db.execute("delete from activity_log")
    with pytest.raises(asyncpg.InvalidParameterValueError, match="a year or more"):
        await db.execute("select private.prune_activity_log('1 day')")
    await db.execute(
        "insert into activity_log (table_name, row_id, op, actor_kind, at) "
        "values ('jobs', 'x', 'insert', 'system', now() - interval '3 years')"
    )
    assert await db.fetchval("select private.prune_activity_log()") == 1


@pytest.mark.parametrize("column", ["op", "actor_kind"])
async def test_the_log_takes_no_other_words_from_whoever_writes_to_it(
    db: Connection, column: str
) -> None:
    words = {"op": "insert", "actor_kind": "system", column: "odd"}
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await db.execute(
            "insert into activity_log (table_name, row_id, op, actor_kind) "
            "values ('jobs', 'x', $1, $2)",
            words["op"], words["actor_kind"],
        )  # fmt: skip
    assert refused.value.constraint_name == f"activity_log_{column}_known"
    unchecked = "select conname from pg_constraint where not convalidated"
    assert await db.fetch(unchecked) == []
