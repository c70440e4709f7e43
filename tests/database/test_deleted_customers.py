"""Nothing new for a deleted customer, by whichever way; what stands there may be changed."""

from __future__ import annotations

import uuid
from typing import Any

import asyncpg
import pytest

from tests.database.callers import Connection, call, refusal
from tests.support.personas import customer_id

A, B = customer_id(1), customer_id(2)
DELETED = ("23503", "the customer is deleted")
DELETE = "select soft_delete('customers', $1)"
INSERTS = {
    "lead_notes": "insert into lead_notes (customer_id, kind, body) values ($1, 'call', 'x')",
    "calls": "insert into calls (customer_id, direction, started_at) values ($1, 'inbound', now())",
    "jobs": "insert into jobs (customer_id, title) values ($1, 'x')",
    "invoices": "insert into invoices (customer_id) values ($1)",
    "invoices by the call": "select id from create_invoice("
    "jsonb_build_object('customer_id', $1::uuid), '[]')",
    "messages": "insert into messages (customer_id, body) values ($1, 'x')",
    "loyalty_transactions": "insert into loyalty_transactions (customer_id, points, kind) "
    "values ($1, 5, 'award')",
}
INSERTS["leads"] = "insert into leads (customer_id) values ($1)"
COUNTS = "select sum(n)::int from (" + " union all ".join(
    f"select count(*) as n from {table}"
    for table in ("leads", "lead_notes", "calls", "jobs", "invoices", "messages", "activity_log")
) + " union all select last_entry from loyalty_accounts) as t"  # fmt: skip


async def close(db: Connection, customer: str = A) -> None:
    await call(db, "agent", DELETE, customer)


@pytest.mark.parametrize("what", INSERTS)
@pytest.mark.parametrize("who", ["manager", "service_role", "owner"])
async def test_a_new_row_is_refused_by_name(db: Connection, what: str, who: str) -> None:
    """One error for all, with a hint, and nothing is written; afterwards, it is as before."""
    table, customer = what.partition(" ")[0], customer_id(130) if what == "leads" else A
    sql = INSERTS[what]
    if what == "lead_notes" and who != "manager":
        sql = sql.replace("(customer_id", "(author_id, customer_id").replace(
            "($1", "('a0000000-0000-4000-8000-000000000002', $1"
        )
    if what == "calls" and who != "manager":
        sql = sql.replace("(customer_id", "(staff_id, customer_id").replace(
            "($1", "('a0000000-0000-4000-8000-000000000002', $1"
        )
    await close(db, customer)
    before = await db.fetchval(COUNTS)
    with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
        await (db.execute(sql, customer) if who == "owner" else call(db, who, sql, customer))
    error = refused.value
    assert error.args[0] == "the customer is deleted"
    assert (error.table_name, error.constraint_name) == (table, f"{table}_open_customer")
    assert (error.column_name, error.detail) == ("customer_id", f"customer_id: {customer}")
    assert error.hint == "Restore the customer first, or choose another."
    assert await db.fetchval(COUNTS) == before

    await db.execute("update customers set deleted_at = null where id = $1", customer)
    await (db.execute(sql, customer) if who == "owner" else call(db, who, sql, customer))
    assert await db.fetchval(COUNTS) > before


async def test_one_row_of_many_is_enough(db: Connection) -> None:
    """A statement is refused as a whole, wherever the row stands in it."""
    await close(db, B)
    sql = "insert into messages (customer_id, body) select id, 'x' from customers order by name"
    before = await db.fetchval("select count(*) from messages")
    assert await refusal(db, "agent", sql) == DELETED
    await call(db, "agent", sql.replace("order", "where deleted_at is null order"))
    assert await db.fetchval("select count(*) from messages") == before + 199


@pytest.mark.parametrize(
    "sql",
    [
        "update jobs set title = 'Done', status = 'cancelled' where id = $1",
        "insert into job_notes (job_id, body) values ($1, 'Key returned')",
        "select to_jsonb(assign_job($1, 'a0000000-0000-4000-8000-000000000003'))",
        "update invoices set status = 'paid' where job_id = $1 and status = 'sent'",
        "update invoices set status = 'void' where job_id = $1 and status = 'sent'",
        "update invoices set job_id = null where job_id = $1",
        "select to_jsonb(replace_invoice_items(id, "
        "jsonb_build_array(jsonb_build_object('description', 'x', 'unit_price_cents', 5)))) "
        "from invoices where customer_id = (select customer_id from jobs where id = $1) "
        "and status = 'draft'",
        "update messages set read_at = now() where sender = 'customer' and read_at is null "
        "and customer_id = (select customer_id from jobs where id = $1)",
        "update leads set status = 'lost' where customer_id = "
        "(select customer_id from jobs where id = $1)",
        "select restore_row('jobs', $1, "
        "(select min(id) from activity_log where row_id = $1::uuid::text))",
    ],
)
async def test_what_stands_there_may_be_changed(db: Connection, sql: str) -> None:
    """A job is closed, a late payment recorded, a draft corrected, a lead lost."""
    job = await prepare_customer(db)
    await close(db)
    before = await db.fetchval("select max(id) from activity_log")
    await call(db, "manager", sql, job)
    if "restore_row" not in sql:
        assert await db.fetchval("select max(id) from activity_log") > before


async def prepare_customer(db: Connection) -> uuid.UUID:
    """Return a job with a sent invoice; the customer has a draft and an unread message, too."""
    job: uuid.UUID = await db.fetchval(
        "insert into jobs (customer_id, title) values ($1, 'Boiler') returning id", A
    )
    items = [{"description": "x", "unit_price_cents": 5}]
    for billed in (str(job), None):
        made = {"customer_id": A, "job_id": billed}
        await call(db, "agent", "select to_jsonb(create_invoice($1, $2))", made, items)
    await db.execute("update invoices set status = 'sent' where job_id = $1", job)
    await db.execute(
        "insert into messages (customer_id, sender, body) values ($1, 'customer', 'Hello')", A
    )
    return job


@pytest.mark.parametrize(("table", "kind"), [("jobs", "d"), ("invoices", "e")])
async def test_no_row_is_moved_there(db: Connection, table: str, kind: str) -> None:
    """By the call and by the owner; one who is not there is told apart."""
    row = f"{kind}0000000-0000-4000-8000-000000000003"
    await db.execute("update invoices set job_id = null where customer_id = $1", customer_id(3))
    await close(db)
    move = f"select move_to_customer('{table}', $1, $2)"
    assert await refusal(db, "agent", move, row, A) == DELETED
    assert await refusal(db, "agent", move, row, str(uuid.uuid4())) == ("23503", "no such customer")
    owners = f"update {table} set customer_id = $2 where id = $1"
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="the customer is deleted"):
        await db.execute(owners, row, A)
    await call(db, "agent", move, row, B)


@pytest.mark.parametrize("table", ["leads", "lead_notes", "calls", "messages"])
async def test_the_owner_moves_nothing_else_there_either(db: Connection, table: str) -> None:
    """Rows of the tables that no call moves."""
    free = customer_id(140)
    await db.execute(INSERTS["leads"], free)
    to = customer_id(130) if table == "leads" else A
    await close(db, to)
    found = f"select * from {table} where customer_id not in ($1, $2) limit 1"
    row = {"customer_id": free} if table == "leads" else await db.fetchrow(found, free, to)
    assert row
    key = "customer_id" if table == "leads" else "id"
    sql = f"update {table} set customer_id = $1 where {key} = $2"
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="the customer is deleted"):
        await db.execute(sql, to, row[key])


async def test_a_restored_customer_is_as_before(db: Connection) -> None:
    """Deleted and brought back by the calls that staff have."""
    change = await db.fetchval(
        "select min(id) from activity_log where table_name = 'customers' and row_id = $1", A
    )
    await close(db)
    assert await refusal(db, "agent", INSERTS["jobs"], A) == DELETED
    await call(db, "agent", "select restore_row('customers', $1, $2)", A, change)
    await call(db, "agent", INSERTS["jobs"], A)


@pytest.mark.parametrize("who", ["customer_a", "customer_b", "unlinked", "inactive"])
async def test_nobody_else_learns_who_is_deleted(db: Connection, who: str) -> None:
    """The policies answer first: of a deleted customer, of an open one and of nobody the same."""
    await close(db)
    for sql in (INSERTS["messages"], INSERTS["jobs"]):
        told = {
            await refusal(db, who, sql, customer)
            for customer in (A, customer_id(3), str(uuid.uuid4()))
        }
        assert {code for code, _ in told} == {"42501"}
        assert len(told) == 1, told


async def bulk(db: Connection, rows: list[dict[str, Any]], *options: Any) -> list[dict[str, Any]]:
    sql = "select bulk_write('jobs', $1, $2, $3)"
    found: list[dict[str, Any]] = await call(db, "agent", sql, rows, *options)
    return found


async def test_bulk_refuses_the_rows_that_it_must(db: Connection) -> None:
    """The others are written, or none at all on request; rows that stand there are saved again."""
    stands = {"id": str(uuid.uuid4()), "customer_id": A, "title": "before"}
    assert (await bulk(db, [stands], False, "insert"))[0]["status"] == "created"
    await close(db)
    rows = [
        {"id": str(uuid.uuid4()), "customer_id": customer, "title": "x"} for customer in (B, A, B)
    ]
    states = [
        [r["status"] for r in await bulk(db, rows, atomic, "insert")] for atomic in (True, False)
    ]
    assert states == [["undone", "failed", "undone"], ["created", "failed", "created"]]
    (refused,) = await bulk(db, rows[1:2], False, "insert")
    assert (refused["code"], refused["message"]) == DELETED
    assert refused["hint"]
    saved = await bulk(db, [{**stands, "title": "after"}], False, "save")
    assert saved[0]["status"] == "updated"
