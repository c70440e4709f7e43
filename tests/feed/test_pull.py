"""`portal_pull` beside the usual path: a cursor in other spellings, refusals, homes of epochs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.feed.oracle import Connection
from tests.support.cluster import Database
from tests.support.personas import acting_as, customer_id

A = customer_id(1)
SCOPE = f"customer:{A}"
STRANGE = f"customer:{customer_id(777)}"
NO_SCOPE = "jobs"


@pytest.fixture
async def db(database: Database) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database.url)
    yield connection
    await connection.close()


async def ask(db: Connection, sql: str, *values: Any, who: str = "customer_a") -> Any:
    """Call an RPC as a persona."""
    async with db.transaction():
        await acting_as(db, who)
        return json.loads(await db.fetchval(sql, *values))


async def pull(db: Connection, *values: str | None, who: str = "customer_a") -> dict[str, Any]:
    answer: dict[str, Any] = await ask(db, "select portal_pull($1, $2, $3, $4)", *values, who=who)
    del answer["now"]
    return answer


async def read_head(db: Connection) -> dict[str, Any]:
    head: dict[str, Any] = await ask(db, "select portal_head($1)", SCOPE)
    return head


async def test_a_page_and_a_refused_cursor_have_the_members_that_are_documented(
    db: Connection,
) -> None:
    head = await read_head(db)
    page = await pull(db, SCOPE, head["epoch"], str(head["n"] - 1), "500")
    refused = await pull(db, SCOPE, head["epoch"], str(head["n"] + 1), "500")
    members = {
        "scope", "epoch", "n", "floor", "must_resync", "reason", "problem", "changes",
    }  # fmt: skip
    assert set(page) == set(refused) == members
    same = {each: head[each] for each in ("scope", "epoch", "n", "floor")}
    assert {each: page[each] for each in same} == {each: refused[each] for each in same} == same
    assert (page["must_resync"], page["reason"], page["problem"]) == (False, None, None)
    (change,) = page["changes"]
    logged = await db.fetchrow(
        'select n, table_name as "table", row_id::text, op, version, "row", request_id, '
        "to_jsonb(committed_at) as committed_at from sync_changes where scope = $1 and n = $2",
        SCOPE,
        head["n"],
    )
    assert logged is not None
    parsed = {each: json.loads(logged[each]) for each in ("row", "committed_at")}
    assert change == {**dict(logged), **parsed}


async def test_one_cursor_may_be_spelled_in_several_ways(db: Connection) -> None:
    head = await read_head(db)
    epoch, last = head["epoch"], head["n"] - 1
    usual = await pull(db, SCOPE, epoch, str(last), "500")
    assert len(usual["changes"]) == 1
    for other in (
        (epoch.upper(), str(last), "500"),
        (epoch.capitalize(), f"000{last}", "0500"),
        (epoch, f"{last:018}", "000000001"),
    ):
        assert await pull(db, SCOPE, *other) == usual


async def test_at_the_head_nothing_is_read_and_nothing_is_wrong(db: Connection) -> None:
    head = await read_head(db)
    await db.execute("delete from sync_changes where scope = $1", SCOPE)
    at_head = await pull(db, SCOPE, head["epoch"], str(head["n"]), "500")
    assert (at_head["must_resync"], at_head["changes"]) == (False, [])
    hollow = await pull(db, SCOPE, head["epoch"], "0", "500")
    assert (hollow["must_resync"], hollow["changes"], hollow["n"]) == (False, [], head["n"])


async def test_arguments_are_refused_in_their_order_and_before_the_scope_is_looked_for(
    db: Connection,
) -> None:
    epoch = (await read_head(db))["epoch"]
    for values, message in (
        ((NO_SCOPE, "x", "x", "x"), "malformed scope"),
        ((STRANGE, "x", "x", "x"), "malformed cursor"),
        ((STRANGE, epoch, "x", "x"), "malformed cursor"),
        ((STRANGE, epoch, "0", "x"), "malformed limit"),
        ((SCOPE, "x", "x", "x"), "malformed cursor"),
        ((SCOPE, epoch, "0", "0"), "malformed limit"),
        ((SCOPE, None, "0", "500"), "malformed cursor"),
        ((SCOPE, epoch + "\n", "0", "500"), "malformed cursor"),
        ((SCOPE, epoch, "5\n", "500"), "malformed cursor"),
        ((SCOPE, epoch, " 5", "500"), "malformed cursor"),
        # Digits to PostgreSQL's \d, and no number to its casts.
        ((SCOPE, epoch, "\u0661", "500"), "malformed cursor"),
        ((SCOPE, epoch, "0", "\u0661"), "malformed limit"),
    ):
        with pytest.raises(asyncpg.InvalidParameterValueError, match=message):
            await pull(db, *values)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no such scope"):
        await pull(db, STRANGE, epoch, "0", "500")


async def test_epochs_are_bound_to_the_same_place_with_the_setting_and_without(
    db: Connection,
) -> None:
    """The stack resets every setting before a request; a session that writes keeps one."""
    told = [await db.fetchval("select private.sync_home()") for _ in range(2)]
    kept = await db.fetchval("select current_setting('portal_sync.home')")
    assert kept.endswith(f":w={told[0]}")
    await db.execute("reset all")
    told.append(await db.fetchval("select private.home_here()"))
    await db.execute("discard plans")
    told += [await db.fetchval("select private.home_here()") for _ in range(2)]
    told.append(await db.fetchval("select home from sync_scopes where scope = $1", SCOPE))
    await db.execute("update customers set phone = '1' where id = $1", A)
    told.append(await db.fetchval("select home from sync_scopes where scope = $1", SCOPE))
    del told[-2]  # the seed was written in the database that this one was copied from
    assert len(set(told)) == 1


async def test_reading_keeps_no_setting(db: Connection) -> None:
    head = await read_head(db)
    await db.execute("reset all")
    await pull(db, SCOPE, head["epoch"], str(head["n"]), "500")
    assert not await db.fetchval("select current_setting('portal_sync.home', true)")
