"""The portal RPCs: one snapshot, dense pages, must_resync, clear refusals."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.feed.oracle import Connection, Replica, parse_changes, read_slices
from tests.support.cluster import Database
from tests.support.personas import acting_as, customer_id

A = customer_id(1)
SCOPE = f"customer:{A}"
HASH_DIGITS = 15


@pytest.fixture
async def db(database: Database) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database.url)
    yield connection
    await connection.close()


async def call(db: Connection, who: str, sql: str, *values: Any) -> dict[str, Any]:
    """Call an RPC as a persona."""
    async with db.transaction():
        await acting_as(db, who)
        return json.loads(await db.fetchval(sql, *values))


async def snapshot(db: Connection, who: str = "customer_a", scope: str = SCOPE) -> dict[str, Any]:
    return await call(db, who, "select portal_snapshot($1)", scope)


async def pull(
    db: Connection, epoch: str, after_n: int, limit: int | None = 500, who: str = "customer_a"
) -> dict[str, Any]:
    return await call(
        db,
        who,
        "select portal_pull($1, $2, $3, $4)",
        SCOPE,
        epoch,
        str(after_n),
        None if limit is None else str(limit),
    )


def digest_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Compute the digest as the reference describes it."""
    value = 0
    for row in rows:
        text = f"{row['id']}:{row['version']}".encode()
        value ^= int(hashlib.md5(text).hexdigest()[:HASH_DIGITS], 16)
    return {"count": len(rows), "hash": f"{value:0{HASH_DIGITS}x}"}


def columns_of(row: dict[str, Any]) -> str:
    """Compute what the digest says of columns, from the keys of a row as they were sent."""
    return hashlib.md5(",".join(row).encode()).hexdigest()


async def test_the_digest_notices_columns_that_come_and_go(db: Connection) -> None:
    before = (await snapshot(db))["digest"]
    await db.execute("alter table public.jobs add column season text default 'spring'")
    added = (await snapshot(db))["digest"]
    assert added["jobs"].pop("columns") != before["jobs"].pop("columns")
    assert added["jobs"].pop("form") != before["jobs"].pop("form")
    assert added == before
    await db.execute("alter table public.jobs drop column season")
    assert (await snapshot(db))["digest"]["messages"] == before["messages"]


@pytest.mark.parametrize(
    "rewrite",
    [
        "alter table public.jobs alter created_at type timestamptz(0)",
        "alter table public.jobs alter created_at type timestamptz using now()",
        "alter table public.jobs alter created_at type timestamp",
    ],
)
async def test_the_digest_tells_of_rows_that_were_rewritten(db: Connection, rewrite: str) -> None:
    """Neither a version nor the name of a column changes."""
    before = (await snapshot(db))["digest"]
    assert (await snapshot(db))["digest"] == before
    await db.execute(rewrite)
    after = (await snapshot(db))["digest"]
    assert after["jobs"].pop("form") != before["jobs"].pop("form")
    assert after == before


async def test_a_snapshot_holds_the_slice_and_its_digest(db: Connection) -> None:
    answer = await snapshot(db)
    slices = await read_slices(db)
    rows = {(t, row["id"]): row for t, rows in answer["tables"].items() for row in rows}
    assert rows == slices[SCOPE]
    assert set(answer["tables"]) == set(answer["digest"])
    columns = {table: entry.pop("columns") for table, entry in answer["digest"].items()}
    forms = {entry.pop("form") for entry in answer["digest"].values()}
    assert len(forms) == len(answer["tables"])
    assert answer["digest"] == {t: digest_of(rows) for t, rows in answer["tables"].items()}
    seen = {t: {columns_of(row) for row in rows} for t, rows in answer["tables"].items()}
    assert seen == {table: {name} for table, name in columns.items()}
    assert set(answer) == {"scope", "epoch", "n", "floor", "now", "tables", "digest"}


async def test_staff_get_the_customers_slice_not_more(db: Connection) -> None:
    await db.execute("insert into invoices (customer_id) values ($1)", A)
    await db.execute(
        "update jobs set deleted_at = now() where id = 'd0000000-0000-4000-8000-000000000001'"
    )
    seen_by_staff, seen_by_customer = await snapshot(db, "agent"), await snapshot(db)
    for answer in (seen_by_staff, seen_by_customer):
        del answer["now"]
    assert seen_by_staff == seen_by_customer


async def test_an_empty_table_has_the_zero_digest(db: Connection) -> None:
    made = await db.fetchval("insert into customers (name) values ('x') returning id")
    answer = await snapshot(db, "agent", f"customer:{made}")
    digest = answer["digest"]["jobs"]
    assert (digest["count"], digest["hash"]) == (0, "0" * HASH_DIGITS)
    assert answer["tables"]["jobs"] == []


async def test_pages_are_dense_and_lead_to_the_head(db: Connection) -> None:
    head = await call(db, "customer_a", "select portal_head($1)", SCOPE)
    replica = Replica()
    while replica.last < head["n"]:
        page = await pull(db, head["epoch"], replica.last, 7)
        assert 1 <= len(page["changes"]) <= 7
        replica.apply(parse_changes(page))
    assert replica.faults == []
    assert replica.rows == (await read_slices(db))[SCOPE]
    assert (await pull(db, head["epoch"], head["n"]))["changes"] == []


async def test_a_change_carries_the_request_id_of_its_author(db: Connection) -> None:
    async with db.transaction():
        await acting_as(db, "customer_a", headers={"idempotency-key": "k-1", "x-request-id": "r-1"})
        await db.execute("update customers set phone = '9' where id = $1", A)
    async with db.transaction():
        await acting_as(db, "agent", headers={"x-request-id": "r-2"})
        await db.execute("update customers set phone = '8' where id = $1", A)
    head = await call(db, "customer_a", "select portal_head($1)", SCOPE)
    changes = (await pull(db, head["epoch"], head["n"] - 2))["changes"]
    assert [change["request_id"] for change in changes] == ["k-1", "r-2"]
    logged = await db.fetch(
        "select request_id, actor_kind, old, new from activity_log order by id desc limit 2"
    )
    assert [(r["request_id"], r["actor_kind"]) for r in logged] == [
        ("r-2", "staff"),
        ("k-1", "customer"),
    ]
    assert json.loads(logged[0]["old"]) == {"phone": "9"}
    assert json.loads(logged[0]["new"]) == {"phone": "8"}


async def test_a_cursor_that_cannot_be_continued_must_resync(db: Connection) -> None:
    head = await call(db, "customer_a", "select portal_head($1)", SCOPE)
    ahead = await pull(db, head["epoch"], head["n"] + 1)
    assert (ahead["must_resync"], ahead["reason"], ahead["changes"]) == (True, "ahead", [])
    other = await pull(db, str(uuid.uuid4()), 0)
    assert (other["must_resync"], other["reason"]) == (True, "epoch")
    assert await db.fetchval("select private.prune_sync_changes('0 seconds')") > 0
    below = await pull(db, head["epoch"], 0)
    assert (below["must_resync"], below["reason"], below["floor"]) == (True, "floor", head["n"])
    assert not (await pull(db, head["epoch"], head["n"]))["must_resync"]


async def test_retention_takes_what_is_old_and_nothing_else(db: Connection) -> None:
    head = await call(db, "customer_a", "select portal_head($1)", SCOPE)
    kept = head["n"] - 2
    await db.execute(
        "update sync_changes set committed_at = now() - interval '31 days' "
        "where scope = $1 and n <= $2",
        SCOPE,
        kept,
    )
    assert await db.fetchval("select private.prune_sync_changes()") == kept
    assert await db.fetchval("select floor from sync_scopes where scope = $1", SCOPE) == kept
    left = await db.fetch("select n from sync_changes where scope = $1 order by n", SCOPE)
    assert [r["n"] for r in left] == [kept + 1, kept + 2]
    assert await db.fetchval("select private.prune_sync_changes()") == 0


@pytest.mark.parametrize("floor", ["n + 1", "-1"])
async def test_floor_stays_within_the_numbers(db: Connection, floor: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="floor is not between 0 and n"):
        await db.execute(f"update sync_scopes set floor = {floor} where scope = $1", SCOPE)


async def test_a_new_epoch_makes_every_cursor_resync_and_rings(db: Connection) -> None:
    head = await call(db, "customer_a", "select portal_head($1)", SCOPE)
    assert await db.fetchval("select private.new_sync_epoch($1)", SCOPE) == 1
    answer = await pull(db, head["epoch"], head["n"])
    assert (answer["must_resync"], answer["reason"]) == (True, "epoch")
    ring = json.loads(
        await db.fetchval(
            "select payload from realtime.messages where topic = $1 "
            "order by inserted_at desc limit 1",
            SCOPE,
        )
    )
    assert ring["epoch"] == answer["epoch"] != head["epoch"]
    await db.execute("update customers set phone = '5' where id = $1", A)
    fresh = await pull(db, answer["epoch"], answer["n"])
    assert [change["n"] for change in fresh["changes"]] == [answer["n"] + 1]


async def test_the_digest_notices_a_truncate(db: Connection) -> None:
    before = await call(db, "customer_a", "select portal_head($1)", SCOPE)
    await db.execute("truncate messages")
    after = await call(db, "customer_a", "select portal_head($1)", SCOPE)
    assert after["n"] == before["n"]
    assert after["digest"]["messages"] != before["digest"]["messages"]
    assert after["digest"]["jobs"] == before["digest"]["jobs"]


async def test_a_strangers_scope_is_refused(db: Connection) -> None:
    for who in ("customer_b", "unlinked", "inactive"):
        for sql in (
            "select portal_head($1)",
            "select portal_snapshot($1)",
            "select portal_pull($1, gen_random_uuid()::text, '0')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no such scope for this"):
                await call(db, who, sql, SCOPE)


async def test_anon_may_not_call_at_all(db: Connection) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for function"):
        await snapshot(db, "anon")


async def test_a_closed_account_loses_access_at_once(db: Connection) -> None:
    await snapshot(db)
    await db.execute("update customers set deleted_at = now() where id = $1", A)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no such scope"):
        await snapshot(db)


async def test_malformed_scopes_limits_and_cursors_are_named(db: Connection) -> None:
    scopes = ["", "customer:", "customer:1", "staff:x", SCOPE.upper(), f"{SCOPE} ", f"{SCOPE}\n"]
    for scope in (*scopes, "x" * 10**6):
        with pytest.raises(asyncpg.InvalidParameterValueError, match="malformed scope"):
            await snapshot(db, scope=scope)
    for limit in (0, -1, 5001, 10**9, None):
        with pytest.raises(asyncpg.InvalidParameterValueError, match="malformed limit"):
            await pull(db, str(uuid.uuid4()), 0, limit)
    with pytest.raises(asyncpg.InvalidParameterValueError, match="malformed cursor"):
        await pull(db, str(uuid.uuid4()), -1)
