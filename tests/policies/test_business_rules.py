"""Rules that hold for everybody: the ledger, invoice numbers, soft delete, moves, senders."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.support.cluster import Database
from tests.support.personas import acting_as, customer_id, portal_uid, staff_uid

A, B = customer_id(1), customer_id(2)


@pytest.fixture
async def db(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.url)
    yield connection
    await connection.close()


async def as_(db: asyncpg.Connection, who: str, sql: str, *values: Any) -> Any:
    """Run one statement as a persona and commit; return its first value."""
    async with db.transaction():
        await acting_as(db, who)
        return await db.fetchval(sql, *values)


async def test_the_balance_survives_twenty_concurrent_redeemers(database: Database) -> None:
    connections = [await asyncpg.connect(database.url) for _ in range(20)]
    try:
        before = await connections[0].fetchval(
            "select balance from loyalty_accounts where customer_id = $1", A
        )

        refused: list[asyncpg.Connection] = []

        async def redeem(connection: asyncpg.Connection) -> int:
            done = 0
            for _ in range(5):
                try:
                    await as_(connection, "customer_a", "select redeem_points(37, 'mug')")
                    done += 1
                except asyncpg.CheckViolationError:
                    refused.append(connection)
            return done

        done = sum(await asyncio.gather(*(redeem(connection) for connection in connections)))
        assert done == before // 37
        assert len(refused) == 100 - done
        ledger = await connections[0].fetch(
            "select entry_no, points, balance_after from loyalty_transactions "
            "where customer_id = $1 order by entry_no",
            A,
        )
        balance = 0
        for place, entry in enumerate(ledger, 1):
            balance += entry["points"]
            assert (entry["entry_no"], entry["balance_after"]) == (place, balance)
        assert balance == before % 37
    finally:
        for connection in connections:
            await connection.close()


async def test_the_ledger_is_append_only_for_the_owner_too(db: asyncpg.Connection) -> None:
    for sql in (
        "update loyalty_transactions set points = 1",
        "delete from loyalty_transactions",
        "truncate loyalty_transactions",
        "update activity_log set actor = null",
        "truncate activity_log",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append only"):
            await db.execute(sql)


async def test_a_repeated_ledger_id_counts_once(db: asyncpg.Connection) -> None:
    entry = uuid.uuid4()
    sql = (
        "insert into loyalty_transactions (id, customer_id, points, kind) "
        "values ($1, $2, 9, 'bonus')"
    )
    balance = "select balance from loyalty_accounts where customer_id = $1"
    await as_(db, "agent", sql, entry, A)
    before = await db.fetchval(balance, A)
    await as_(db, "agent", f"{sql} on conflict do nothing", entry, A)
    with pytest.raises(asyncpg.UniqueViolationError):
        await as_(db, "agent", sql, entry, A)
    assert await db.fetchval(balance, A) == before


async def make_invoice(db: asyncpg.Connection, series: str = "T") -> str:
    made = await as_(
        db,
        "agent",
        "select to_jsonb(create_invoice($1, $2))",
        json.dumps({"customer_id": A, "series": series}),
        json.dumps([{"description": "Work", "unit_price_cents": 1250, "quantity": 2}]),
    )
    invoice = json.loads(made)
    assert (invoice["status"], invoice["number"], invoice["total_cents"]) == ("draft", None, 2500)
    return str(invoice["id"])


async def test_invoice_numbers_have_no_gaps_although_sends_roll_back(
    db: asyncpg.Connection,
) -> None:
    invoices = [await make_invoice(db) for _ in range(6)]
    send = "update invoices set status = 'sent' where id = $1 returning number"
    numbers = []
    for place, invoice in enumerate(invoices):
        transaction = db.transaction()
        await transaction.start()
        await acting_as(db, "agent")
        number = await db.fetchval(send, invoice)
        if place % 2:
            await transaction.rollback()
        else:
            await transaction.commit()
            numbers.append(number)
    assert numbers == [1, 2, 3]


async def test_items_of_a_draft_can_be_replaced_and_those_of_a_sent_invoice_cannot(
    db: asyncpg.Connection,
) -> None:
    invoice = await make_invoice(db)
    replace = "select to_jsonb(replace_invoice_items($1, $2))"
    items = json.dumps(
        [{"description": "A", "unit_price_cents": 5}, {"description": "B", "unit_price_cents": 6}]
    )
    changed = json.loads(await as_(db, "agent", replace, invoice, items))
    assert (changed["total_cents"], [line["description"] for line in changed["lines"]]) == (
        11,
        ["A", "B"],
    )
    await as_(db, "agent", "update invoices set status = 'sent' where id = $1", invoice)
    with pytest.raises(asyncpg.CheckViolationError, match="items of a sent invoice are frozen"):
        await as_(db, "agent", replace, invoice, items)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only staff may edit invoices"):
        await as_(db, "customer_a", replace, invoice, items)


async def test_bad_invoice_documents_are_named(db: asyncpg.Connection) -> None:
    create = "select create_invoice($1, $2)"
    for invoice, items in (
        ([], []),
        ({"customer_id": A, "total_cents": 5}, []),
        ({"customer_id": A}, {}),
        ({"customer_id": A}, [5]),
        ({"customer_id": A}, [{"descripton": "typo"}]),
    ):
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await as_(db, "agent", create, json.dumps(invoice), json.dumps(items))
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await as_(db, "agent", create, json.dumps({"customer_id": str(uuid.uuid4())}), "[]")


async def test_soft_delete_is_for_staff_and_happens_once(db: asyncpg.Connection) -> None:
    delete = "select soft_delete($1, $2)"
    job = "d0000000-0000-4000-8000-000000000001"
    for who in ("customer_a", "unlinked", "inactive"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only staff may delete rows"):
            await as_(db, who, delete, "jobs", job)
    version = await as_(db, "agent", delete, "jobs", job)
    assert await as_(db, "agent", delete, "jobs", job) == version
    assert await as_(db, "customer_a", "select count(*) from jobs where id = $1", job) == 0
    with pytest.raises(asyncpg.InvalidParameterValueError, match="does not know the table"):
        await as_(db, "admin", delete, "staff", job)
    with pytest.raises(asyncpg.CheckViolationError, match="may not be deleted"):
        await as_(db, "admin", delete, "invoices", "e0000000-0000-4000-8000-000000000001")
    with pytest.raises(asyncpg.PostgresError, match="no such row") as missing:
        await as_(db, "admin", delete, "jobs", uuid.uuid4())
    assert missing.value.sqlstate == "PT404"


async def test_moving_takes_notes_and_items_along(db: asyncpg.Connection) -> None:
    move = "select move_to_customer($1, $2, $3)"
    job, invoice = (f"{k}0000000-0000-4000-8000-000000000002" for k in "de")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only staff may move rows"):
        await as_(db, "customer_a", move, "jobs", job, A)
    await as_(db, "agent", move, "invoices", invoice, A)
    version = await as_(db, "agent", move, "jobs", job, A)
    assert await as_(db, "agent", move, "jobs", job, A) == version
    for table, column, row in (
        ("job_notes", "job_id", job),
        ("invoice_items", "invoice_id", invoice),
    ):
        owners = await db.fetch(
            f"select distinct customer_id from {table} where {column} = $1", row
        )
        assert [str(r["customer_id"]) for r in owners] == [A]
    await as_(db, "admin", "select soft_delete('customers', $1)", A)
    for table, row in (("jobs", job), ("invoices", invoice)):
        with pytest.raises(asyncpg.ForeignKeyViolationError, match="the customer is deleted"):
            await as_(db, "agent", move, table, row, A)


async def test_nobody_writes_in_somebody_elses_name(db: asyncpg.Connection) -> None:
    sql = (
        "insert into messages "
        "(customer_id, body, sender, sender_id, sender_name, version, created_at) "
        "values ($1, 'x', 'staff', $2, 'The boss', 9, '2000-01-01') returning to_jsonb(messages)"
    )
    row = json.loads(await as_(db, "customer_a", sql, A, uuid.uuid4()))
    assert (row["sender"], row["sender_id"], row["version"]) == ("customer", portal_uid(1), 1)
    assert row["sender_name"] != "The boss"
    assert not row["created_at"].startswith("2000")


async def test_a_message_is_read_once(db: asyncpg.Connection) -> None:
    message = await as_(
        db, "agent", "insert into messages (customer_id, body) values ($1, 'x') returning id", A
    )
    read = "update messages set read_at = '2001-01-01' where id = $1 returning read_at"
    first = await as_(db, "customer_a", read, message)
    assert first.year > 2001
    assert await as_(db, "customer_a", read, message) == first
    assert await db.fetchval("select version from messages where id = $1", message) == 2


async def test_a_lead_is_given_to_active_staff_only(db: asyncpg.Connection) -> None:
    """Made or handed over; one whose owner has left may be changed in all else."""
    lead = await db.fetchval("select customer_id from leads where assigned_to is not null limit 1")
    free = await db.fetchval(
        "select id from customers c where not exists"
        " (select from leads l where l.customer_id = c.id) limit 1"
    )
    for sql, of in (
        ("insert into leads (customer_id, assigned_to) values ($1, $2)", free),
        ("update leads set assigned_to = $2 where customer_id = $1", lead),
    ):
        with pytest.raises(asyncpg.CheckViolationError, match="not active"):
            await as_(db, "manager", sql, of, staff_uid(4))
    await as_(
        db,
        "manager",
        "update leads set assigned_to = $2 where customer_id = $1",
        lead,
        staff_uid(3),
    )
    await db.execute("update staff set active = false where user_id = $1", staff_uid(3))
    await as_(db, "manager", "update leads set score = 1 where customer_id = $1", lead)


async def test_an_invoice_bills_a_job_of_its_customer(db: asyncpg.Connection) -> None:
    """When it is made, when the job is named later, and when it moves without its job."""
    own, other = [
        await db.fetchval("select id from jobs where customer_id = $1 limit 1", who)
        for who in (A, B)
    ]
    made = "insert into invoices (customer_id, job_id) values ($1, $2) returning id"
    with pytest.raises(asyncpg.CheckViolationError, match="another customer"):
        await as_(db, "agent", made, A, other)
    invoice = await as_(db, "agent", made, A, own)
    with pytest.raises(asyncpg.CheckViolationError, match="another customer"):
        await as_(db, "agent", "update invoices set job_id = $2 where id = $1", invoice, other)
    await as_(db, "agent", "select move_to_customer('invoices', $1, $2)", invoice, B)
    moved = await db.fetchrow("select customer_id, job_id from invoices where id = $1", invoice)
    assert (str(moved["customer_id"]), moved["job_id"]) == (B, None)
