"""A job that is billed stays with the customer of its invoice, also when both happen at once."""

from __future__ import annotations

import asyncpg
import pytest

from tests.database.callers import Connection, call, refusal
from tests.database.waiting import Isolation, begun, outcome, two_sessions, waiting
from tests.support.cluster import Database
from tests.support.personas import customer_id

A, B, C = (customer_id(i) for i in (1, 2, 3))
MOVE = "select move_to_customer('jobs', $1, $2)"
OWNERS_MOVE = "update jobs set customer_id = $2 where id = $1"
BILL = "insert into invoices (customer_id, job_id) values ($2, $1) returning id"
BILLED = "an invoice of another customer bills the job"


async def add_job(db: Connection) -> str:
    return str(
        await db.fetchval(
            "insert into jobs (customer_id, title) values ($1, 'Boiler') returning id", A
        )
    )


async def owner_of(db: Connection, job: str) -> str:
    return str(await db.fetchval("select customer_id from jobs where id = $1", job))


async def test_a_billed_job_is_not_moved(db: Connection) -> None:
    """Whoever moves it; the error names the invoice, and nothing has changed."""
    job = await add_job(db)
    invoice = await call(db, "agent", BILL, job, A)
    for who in ("agent", "admin", "service_role"):
        assert await refusal(db, who, MOVE, job, B) == ("23514", BILLED)
    with pytest.raises(asyncpg.CheckViolationError, match=BILLED) as refused:
        await db.execute(OWNERS_MOVE, job, B)
    assert refused.value.constraint_name == "jobs_unbilled"
    assert (refused.value.table_name, refused.value.column_name) == ("jobs", "customer_id")
    assert refused.value.detail == f"invoice: {invoice}"
    assert refused.value.hint == "Move the invoice first, or take job_id from it."
    assert await owner_of(db, job) == A
    await call(db, "agent", MOVE, job, A)


@pytest.mark.parametrize(
    "free",
    [
        "select move_to_customer('invoices', $1, 'c0000000-0000-4000-8000-000000000002')",
        "update invoices set job_id = null where id = $1",
    ],
)
async def test_the_invoice_lets_the_job_go_first(db: Connection, free: str) -> None:
    """Moved, or without its job; then the job follows, and may be billed there."""
    job = await add_job(db)
    invoice = await call(db, "agent", BILL, job, A)
    await call(db, "agent", free, invoice)
    await call(db, "agent", MOVE, job, B)
    assert await owner_of(db, job) == B
    await call(db, "agent", BILL, job, B)


@pytest.mark.parametrize(
    "end",
    [
        "update invoices set status = 'void' where id = $1",
        "select soft_delete('invoices', $1)",
    ],
)
async def test_an_invoice_that_is_void_or_deleted_counts(db: Connection, end: str) -> None:
    """It goes on naming the job, and a deleted one may come back."""
    job = await add_job(db)
    invoice = await call(db, "agent", BILL, job, A)
    await call(db, "manager", end, invoice)
    assert await refusal(db, "agent", MOVE, job, B) == ("23514", BILLED)


async def test_a_job_astray_may_go_where_its_invoice_is(db: Connection) -> None:
    """As jobs moved by earlier versions are: home, and nowhere else."""
    job = await add_job(db)
    await call(db, "agent", BILL, job, A)
    await db.execute("alter table jobs disable trigger p_unbilled_job")
    await db.execute(OWNERS_MOVE, job, B)
    await db.execute("alter table jobs enable trigger p_unbilled_job")
    assert await refusal(db, "agent", MOVE, job, C) == ("23514", BILLED)
    await call(db, "agent", "update jobs set title = 'Tap' where id = $1", job)
    await call(db, "agent", MOVE, job, A)
    assert await owner_of(db, job) == A


@pytest.mark.parametrize("move", [MOVE, OWNERS_MOVE], ids=["the call", "an update"])
async def test_a_move_waits_for_the_invoice(database: Database, move: str) -> None:
    """Committed, the move is refused; undone, it is made."""
    async with two_sessions(database) as (biller, mover):
        for ends_well in (True, False):
            job = await add_job(biller)
            billing = await begun(biller)
            await biller.fetchval(BILL, job, A)
            moved = await waiting(biller, mover, mover.execute(move, job, B))
            await (billing.commit() if ends_well else billing.rollback())
            assert await moved == (f"23514 {BILLED}" if ends_well else "done")
            assert await owner_of(mover, job) == (A if ends_well else B)


@pytest.mark.parametrize("move", [MOVE, OWNERS_MOVE], ids=["the call", "an update"])
async def test_an_invoice_waits_for_the_move(database: Database, move: str) -> None:
    """Committed, the invoice is refused; undone, it is made."""
    async with two_sessions(database) as (mover, biller):
        for ends_well in (True, False):
            job = await add_job(mover)
            moving = await begun(mover)
            await mover.execute(move, job, B)
            billed = await waiting(mover, biller, biller.fetchval(BILL, job, A))
            await (moving.commit() if ends_well else moving.rollback())
            refused = "23514 the job belongs to another customer"
            assert await billed == (refused if ends_well else "done")


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_an_invoice_that_does_not_see_the_move_fails(
    database: Database, isolation: Isolation
) -> None:
    """Its snapshot is older; repeated, it is refused."""
    async with two_sessions(database) as (mover, biller):
        job = await add_job(mover)
        billing = await begun(biller, isolation)
        await mover.execute(MOVE, job, B)
        assert (await outcome(biller.fetchval(BILL, job, A))).startswith("40001 ")
        await billing.rollback()
        assert (await outcome(biller.fetchval(BILL, job, A))).startswith("23514 ")


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_a_move_needs_to_see_every_invoice(database: Database, isolation: Isolation) -> None:
    """In an older snapshot it could not, so it is not tried."""
    async with two_sessions(database) as (biller, mover):
        job = await add_job(biller)
        moving = await begun(mover, isolation)
        await biller.fetchval(BILL, job, A)
        assert (await outcome(mover.execute(MOVE, job, B))).startswith(
            "0A000 a job cannot be moved"
        )
        await moving.rollback()
        assert await owner_of(biller, job) == A
