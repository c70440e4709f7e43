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
AGENT = "a0000000-0000-4000-8000-000000000003"
ENCRYPTED = "v1.k1." + "x" * 40
HUGE = "repeat('x', 10 * 1024 * 1024)"
EPOCH = f"(private.scope_head('{SCOPE}')).epoch::text"
PULL = f"select portal_pull('{SCOPE}', {EPOCH}"
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
    "cursor: negative": Bad("customer_a", f"{PULL}, '-1')", "22023", "malformed cursor"),
    "cursor: null": Bad("customer_a", f"{PULL}, null)", "22023", "malformed cursor"),
    "cursor: no number": Bad("customer_a", f"{PULL}, 'ten')", "22023", "malformed cursor"),
    "cursor: a fraction": Bad("customer_a", f"{PULL}, '1.5')", "22023", "malformed cursor"),
    "cursor: beyond bigint": Bad("customer_a", f"{PULL}, '1e30')", "22023", "malformed cursor"),
    "cursor: 40 digits": Bad(
        "customer_a", f"{PULL}, repeat('9', 40))", "22023", "malformed cursor"
    ),
    "epoch: no uuid": Bad(
        "customer_a", f"select portal_pull('{SCOPE}', 'x', '0')", "22023", "malformed cursor"
    ),
    "epoch: null": Bad(
        "customer_a", f"select portal_pull('{SCOPE}', null, '0')", "22023", "malformed cursor"
    ),
    "epoch: 10 MB": Bad(
        "customer_a", f"select portal_pull('{SCOPE}', {HUGE}, '0')", "22023", "malformed cursor"
    ),
    "limit: 0": Bad("customer_a", f"{PULL}, '0', '0')", "22023", "malformed limit"),
    "limit: no number": Bad("customer_a", f"{PULL}, '0', 'all')", "22023", "malformed limit"),
    "limit: null": Bad("customer_a", f"{PULL}, '0', null)", "22023", "malformed limit"),
    "limit: a thousand million": Bad(
        "customer_a", f"{PULL}, '0', '1000000000')", "22023", "malformed limit"
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
    "price: a fraction": Bad(
        "agent",
        f"select to_jsonb(create_invoice({invoice()}, {item(unit_price_cents=1.5)}))",
        "22023",
        "malformed unit_price_cents",
    ),
    "quantity: a word": Bad(
        "agent",
        f"select to_jsonb(create_invoice({invoice()}, {item(quantity='ten')}))",
        "22023",
        "malformed quantity",
    ),
    "invoice: no uuid": Bad(
        "agent",
        f"select to_jsonb(create_invoice({invoice(job_id='x')}, {item()}))",
        "22023",
        "malformed job_id",
    ),
    "invoice: no day": Bad(
        "agent",
        f"select to_jsonb(create_invoice({invoice(due_on='2026-02-30')}, {item()}))",
        "22023",
        "malformed due_on",
    ),
    "invoice: no object": Bad(
        "agent",
        f"select to_jsonb(create_invoice('[]', {item()}))",
        "22023",
        "invoice must be a JSON object",
    ),
    "items: no list": Bad(
        "agent",
        f"select to_jsonb(create_invoice({invoice()}, '7'))",
        "22023",
        "items must be a JSON array",
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
    "role: unknown": Bad(
        "admin",
        f"select update_staff('{AGENT}', '{{\"role\": \"boss\"}}')",
        "23514",
        "staff.role is not a role",
    ),
    "staff: no login": Bad(
        "admin",
        "select create_staff(null, 'Nora', 'nora@crm.example', 'agent')",
        "22023",
        "malformed user_id",
    ),
    "staff: twice": Bad(
        "admin",
        f"select create_staff('{AGENT}', 'Nora', 'nora@crm.example', 'agent')",
        "23505",
        "this login is a member of staff already",
    ),
    "lead: unknown status": Bad(
        "manager",
        f"update leads set status = 'cold' where customer_id = '{A}'",
        "23514",
        "leads.status is not a status of a lead",
    ),
    "lead: negative value": Bad(
        "manager",
        f"update leads set estimated_value_cents = -1 where customer_id = '{A}'",
        "23514",
        "leads.estimated_value_cents is out of range",
    ),
    "note: unknown kind": Bad(
        "manager",
        f"insert into lead_notes (customer_id, kind, body) values ('{A}', 'tweet', 'x')",
        "23514",
        "lead_notes.kind is not a kind of note",
    ),
    "call: unknown direction": Bad(
        "agent",
        f"insert into calls (customer_id, direction) values ('{A}', 'sideways')",
        "23514",
        "calls.direction is not a direction",
    ),
    "call: unknown outcome": Bad(
        "agent",
        f"insert into calls (customer_id, direction, outcome) values ('{A}', 'inbound', 'meh')",
        "23514",
        "calls.outcome is not an outcome",
    ),
    "cost: negative": Bad(
        "agent",
        f"insert into job_notes (job_id, body, cost_cents) values ('{JOB}', 'x', -1)",
        "23514",
        "job_notes.cost_cents is out of range",
    ),
    "series: malformed": Bad(
        "agent",
        f"insert into invoices (customer_id, series) values ('{A}', 'no series!')",
        "23514",
        "invoices.series is not a series of numbers",
    ),
    "total: too much": Bad(
        "agent",
        f"select to_jsonb(create_invoice({invoice()}, "
        """'[{"description": "x", "quantity": 1000000, "unit_price_cents": 100000000},"""
        """ {"description": "y", "quantity": 1000000, "unit_price_cents": 100000000}]'))""",
        "23514",
        "invoices.total_cents is out of range",
    ),
    "points: unknown kind": Bad(
        "agent",
        f"insert into loyalty_transactions (customer_id, points, kind) values ('{A}', 5, 'gift')",
        "23514",
        "loyalty_transactions.kind is not a kind of entry",
    ),
    "points: redeemed by staff": Bad(
        "agent", "select redeem_points(5, 'x')", "42501", "only a customer may redeem points"
    ),
    "move: to nobody": Bad(
        "agent",
        f"select move_to_customer('jobs', '{JOB}', '{JOB}')",
        "23503",
        "no such customer",
    ),
    "secret: a plain value": Bad(
        "agent",
        f"select set_customer_secret('{A}', 'gate_code', '4711')",
        "23514",
        "the value of gate_code is not encrypted",
    ),
    "secret: malformed name": Bad(
        "agent",
        f"select set_customer_secret('{A}', 'Gate 4711', '{ENCRYPTED}')",
        "23514",
        "malformed name of a value",
    ),
    "bulk: unknown table": Bad(
        "agent", "select bulk_write('staff', '[]')", "22023", "bulk_write does not know the table"
    ),
    "bulk: unknown mode": Bad(
        "agent", "select bulk_write('jobs', '[]', false, 'merge')", "22023", "malformed mode"
    ),
    "bulk: no list": Bad("agent", "select bulk_write('jobs', '{}')", "22023", "rows must be a"),
    "bulk: a row without its key": Bad(
        "agent",
        f"""select bulk_write('jobs', '[{{"id": "{A}"}}, {{"title": "x"}}]')""",
        "22023",
        "rows must be a",
    ),
    "dashboard: backwards": Bad(
        "manager", "select dashboard('2026-02-02', '2026-02-01')", "22023", "malformed range"
    ),
    "dashboard: without end": Bad(
        "manager", "select dashboard('2026-02-02', 'infinity')", "22023", "malformed range"
    ),
    "dashboard: unknown zone": Bad(
        "manager",
        "select dashboard('2026-02-01', '2026-02-02', 'Mars/Phobos')",
        "22023",
        "unknown time zone",
    ),
    "activity: malformed cursor": Bad(
        "agent", "select activity_since('then')", "22023", "malformed cursor"
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
# A literal of SQL is parsed before any of our code runs. Through the API a row is one JSON
# document, and what is in it reaches our checks.
PARSED = {
    "preferences: no JSON": (
        f"update customers set preferences = '{{bad' where id = '{A}'",
        "22P02",
    ),
    "points: no number": ("select redeem_points('ten', 'x')", "22P02"),
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
    assert error.detail or bad.sqlstate == "42501"
    assert not any(told in f"{error} {error.detail}" for told in ("Failing row", "4711"))
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


async def test_a_cursor_from_the_future_is_named_and_must_resync(db: Connection) -> None:
    """An error would leave a portal stuck that outlived a restore; the answer tells it the way."""
    before = await count_all(db)
    answer = await call(db, "customer_a", f"{PULL}, '999999')")
    assert (answer["must_resync"], answer["reason"], answer["changes"]) == (True, "ahead", [])
    problem = answer["problem"]
    assert (problem["code"], problem["message"]) == ("22023", "the cursor is from the future")
    assert problem["detail"].startswith(f"after_n: 999999, n: {answer['n']}, floor: 0, epoch: ")
    assert problem["hint"].startswith("Take portal_snapshot")
    assert await count_all(db) == before
    fine = await call(db, "customer_a", f"{PULL}, '0')")
    assert fine["problem"] is None
