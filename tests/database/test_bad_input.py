"""Bad input: a named error with SQLSTATE, detail and hint, and nothing is written."""

from __future__ import annotations

import json
from dataclasses import dataclass

import asyncpg
import pytest

from tests.database.callers import Connection, call
from tests.support.personas import customer_id

A = customer_id(1)
SCOPE = f"customer:{A}"
JOB = "d0000000-0000-4000-8000-000000000801"  # completed
HUGE = "repeat('x', 10 * 1024 * 1024)"
EPOCH = f"(select epoch from sync_scopes where scope = '{SCOPE}')"
WRITTEN = ("customers", "jobs", "invoices", "messages", "loyalty_transactions", "sync_changes")


@dataclass(frozen=True, slots=True)
class Bad:
    """A statement, and what it must be answered with."""

    who: str
    sql: str
    sqlstate: str
    message: str


def invoice(**keys: object) -> str:
    return f"'{json.dumps({'customer_id': A, **keys})}'::jsonb"


def item(**keys: object) -> str:
    return f"'{json.dumps([{'description': 'x', 'unit_price_cents': 5, **keys}])}'::jsonb"


BAD = {
    "scope: empty": Bad("customer_a", "select portal_head('')", "22023", "malformed scope"),
    "scope: null": Bad("customer_a", "select portal_head(null)", "22023", "malformed scope"),
    "scope: 10 MB": Bad("customer_a", f"select portal_head({HUGE})", "22023", "malformed scope"),
    "scope: a table": Bad("customer_a", "select portal_head('jobs')", "22023", "malformed scope"),
    "scope: somebody else's": Bad(
        "customer_b", f"select portal_head('{SCOPE}')", "42501", "no such scope for this caller"
    ),
    "cursor: negative": Bad(
        "customer_a", f"select portal_pull('{SCOPE}', {EPOCH}, -1)", "22023", "malformed cursor"
    ),
    "cursor: null": Bad(
        "customer_a", f"select portal_pull('{SCOPE}', {EPOCH}, null)", "22023", "malformed cursor"
    ),
    "limit: 0": Bad(
        "customer_a", f"select portal_pull('{SCOPE}', {EPOCH}, 0, 0)", "22023", "malformed limit"
    ),
    "limit: a thousand million": Bad(
        "customer_a",
        f"select portal_pull('{SCOPE}', {EPOCH}, 0, 1000000000)",
        "22023",
        "malformed limit",
    ),
    "points: negative": Bad(
        "customer_a", "select redeem_points(-5, 'x')", "23514", "points must be 1 or more"
    ),
    "points: zero": Bad(
        "customer_a", "select redeem_points(0, 'x')", "23514", "points must be 1 or more"
    ),
    "points: too many": Bad(
        "customer_a", "select redeem_points(1000000, 'x')", "23514", "the balance of"
    ),
    "points: negative award": Bad(
        "agent",
        f"insert into loyalty_transactions (customer_id, points, kind) values ('{A}', -5, 'award')",
        "23514",
        "loyalty_transactions.points does not fit the kind of entry",
    ),
    "currency: unknown": Bad(
        "agent",
        f"select to_jsonb(create_invoice({invoice(currency='ZZZ')}, {item()}))",
        "23514",
        "invoices.currency is not a currency",
    ),
    "currency: lower case": Bad(
        "agent",
        f"select to_jsonb(create_invoice({invoice(currency='eur')}, {item()}))",
        "23514",
        "invoices.currency is not a currency",
    ),
    "price: negative": Bad(
        "agent",
        f"select to_jsonb(create_invoice({invoice()}, {item(unit_price_cents=-1)}))",
        "23514",
        "invoice_items.unit_price_cents is out of range",
    ),
    "items: unknown key": Bad(
        "agent",
        f"select to_jsonb(create_invoice({invoice()}, {item(price=1)}))",
        "22023",
        "an item has unknown keys: price",
    ),
    "transition: job": Bad(
        "agent",
        f"update jobs set status = 'scheduled', scheduled_start = now() where id = '{JOB}'",
        "23514",
        "job cannot go from completed to scheduled",
    ),
    "transition: invoice": Bad(
        "manager",
        "update invoices set status = 'draft' where id = 'e0000000-0000-4000-8000-000000000001'",
        "23514",
        "invoice cannot go from paid to draft",
    ),
    "transition: not for agents": Bad(
        "agent",
        f"update jobs set status = 'in_progress' where id = '{JOB}'",
        "42501",
        "agent may not move job from completed to in_progress",
    ),
    "scheduled without a start": Bad(
        "agent",
        f"insert into jobs (customer_id, title, status) values ('{A}', 'x', 'scheduled')",
        "23514",
        "jobs.scheduled_start is required while the job is scheduled",
    ),
    "text: message of 10 MB": Bad(
        "customer_a",
        f"insert into messages (customer_id, body) values ('{A}', {HUGE})",
        "23514",
        "messages.body has 10485760 characters",
    ),
    "text: job title of 10 MB": Bad(
        "agent",
        f"insert into jobs (customer_id, title) values ('{A}', {HUGE})",
        "23514",
        "jobs.title has 10485760 characters",
    ),
    "text: empty message": Bad(
        "customer_a",
        f"insert into messages (customer_id, body) values ('{A}', '')",
        "23514",
        "messages.body has 0 characters",
    ),
    "text: address of 10 MB": Bad(
        "customer_a",
        f"update customers set address = {HUGE} where id = '{A}'",
        "23514",
        "customers.address has 10485760 characters",
    ),
    "preferences: a list": Bad(
        "customer_a",
        f"update customers set preferences = '[1]' where id = '{A}'",
        "23514",
        "customers.preferences must be a JSON object",
    ),
    "preferences: a text": Bad(
        "customer_a",
        f"""update customers set preferences = '"dark"' where id = '{A}'""",
        "23514",
        "customers.preferences must be a JSON object",
    ),
    "preferences: 10 MB": Bad(
        "customer_a",
        "update customers set preferences = jsonb_build_object('a', (select string_agg("
        f"md5(i::text), '') from generate_series(1, 327680) i)) where id = '{A}'",
        "23514",
        "customers.preferences must be a JSON object",
    ),
    "a foreign column": Bad(
        "customer_a",
        f"update customers set branch = 'x' where id = '{A}'",
        "42501",
        "a customer may not set customers.branch",
    ),
    "history: unknown table": Bad(
        "agent", f"select row_history('secrets', '{JOB}')", "22023", "unknown table secrets"
    ),
    "history: limit 0": Bad(
        "agent", f"select row_history('jobs', '{JOB}', null, 0)", "22023", "malformed limit"
    ),
    "merge: a version of the future": Bad(
        "agent", f"select fields_changed_since('jobs', '{JOB}', 99)", "22023", "malformed version"
    ),
    "restore: no such change": Bad(
        "agent", f"select restore_row('jobs', '{JOB}', 0)", "PT404", "no such change of this row"
    ),
    "restore: by a customer": Bad(
        "customer_a", f"select restore_row('jobs', '{JOB}', 1)", "42501", "only staff may restore"
    ),
}
# What PostgreSQL itself refuses before any of our code runs has no hint.
PARSED = {
    "preferences: no JSON": (
        f"update customers set preferences = '{{bad' where id = '{A}'",
        "22P02",
    ),
    "scope as uuid": ("select portal_pull('x', 'no-uuid', 0)", "22P02"),
    "a cursor beyond bigint": (f"select portal_pull('{SCOPE}', {EPOCH}, 1e30)", "42883"),
}


async def count_all(db: Connection) -> list[int]:
    counts = [await db.fetchval(f"select count(*) from {table}") for table in WRITTEN]
    return [*counts, await db.fetchval("select sum(version)::bigint from customers")]


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_is_named_explained_and_without_effect(db: Connection, name: str) -> None:
    bad = BAD[name]
    before = await count_all(db)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await call(db, bad.who, bad.sql)
    error = refused.value
    assert error.sqlstate == bad.sqlstate
    assert str(error).startswith(bad.message)
    assert len(str(error)) < 1000
    assert error.hint
    assert error.detail or bad.sqlstate in {"22023", "42501"}
    assert len(error.detail or "") < 500
    assert await count_all(db) == before


@pytest.mark.parametrize("name", PARSED)
async def test_what_is_no_value_at_all_is_refused_by_the_parser(db: Connection, name: str) -> None:
    sql, sqlstate = PARSED[name]
    before = await count_all(db)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await call(db, "customer_a", sql)
    assert refused.value.sqlstate == sqlstate
    assert await count_all(db) == before


async def test_a_cursor_from_the_future_must_resync(db: Connection) -> None:
    answer = await call(db, "customer_a", f"select portal_pull('{SCOPE}', {EPOCH}, 999999)")
    assert (answer["must_resync"], answer["reason"], answer["changes"]) == (True, "ahead", [])
