"""A customer is deleted while somebody else writes a row for them: one of the two comes first."""

from __future__ import annotations

import pytest

from tests.database.test_deleted_customers import INSERTS
from tests.database.waiting import Isolation, begun, outcome, two_sessions, waiting
from tests.support.cluster import Database
from tests.support.personas import customer_id

A, B = customer_id(1), customer_id(2)
MOVE = "update jobs set customer_id = $1 where id = 'd0000000-0000-4000-8000-000000000802'"
NOTE = (
    "insert into lead_notes (author_id, customer_id, kind, body) "
    "values ('a0000000-0000-4000-8000-000000000002', $1, 'call', 'x')"
)
# A move needs READ COMMITTED in any case.
ROWS = {
    **{table: INSERTS[table] for table in ("jobs", "invoices", "messages", "loyalty_transactions")},
    "lead_notes": NOTE,
}
WRITES = {**ROWS, "a move": MOVE}
DELETES = {
    "the call": "select soft_delete('customers', $1)",
    "an update": "update customers set deleted_at = now() where id = $1",
}
DELETED = "23503 the customer is deleted"
EITHER = pytest.mark.parametrize("delete", DELETES.values(), ids=DELETES)
EACH_INSERT = pytest.mark.parametrize("write", ROWS.values(), ids=ROWS)
EACH = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


@EACH
@EITHER
async def test_a_row_waits_for_the_deletion_and_is_refused(
    database: Database, write: str, delete: str
) -> None:
    async with two_sessions(database) as (deleter, writer):
        deleting = await begun(deleter)
        await deleter.execute(delete, A)
        written = await waiting(deleter, writer, writer.execute(write, A))
        await deleting.commit()
        assert await written == DELETED


@EACH
async def test_a_row_waits_for_the_deletion_and_is_written_when_it_is_undone(
    database: Database, write: str
) -> None:
    async with two_sessions(database) as (deleter, writer):
        deleting = await begun(deleter)
        await deleter.execute(DELETES["an update"], A)
        written = await waiting(deleter, writer, writer.execute(write, A))
        await deleting.rollback()
        assert await written == "done"


@EACH
@EITHER
async def test_a_deletion_waits_for_the_row(database: Database, write: str, delete: str) -> None:
    """What was written first stands; the next row is refused."""
    async with two_sessions(database) as (writer, deleter):
        writing = await begun(writer)
        await writer.execute(write, A)
        deleted = await waiting(writer, deleter, deleter.execute(delete, A))
        await writing.commit()
        assert await deleted == "done"
        if write != MOVE:
            assert await outcome(writer.execute(write, A)) == DELETED


@EACH_INSERT
@EITHER
@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_a_transaction_that_does_not_see_the_deletion_fails(
    database: Database, write: str, delete: str, isolation: Isolation
) -> None:
    """Its snapshot is older; repeated, it sees the deletion."""
    async with two_sessions(database) as (deleter, writer):
        writing = await begun(writer, isolation)
        await deleter.execute(delete, A)
        assert (await outcome(writer.execute(write, A))).startswith("40001 ")
        await writing.rollback()
        assert await outcome(writer.execute(write, A)) == DELETED


async def test_other_changes_of_a_customer_wait_for_nobody(database: Database) -> None:
    """A new row and another phone number do not meet, neither do two new rows."""
    async with two_sessions(database) as (writer, other):
        writing = await begun(writer)
        await writer.execute(INSERTS["invoices"], A)
        await other.execute("set lock_timeout = '1s'")
        editing = await begun(other)
        await other.execute(INSERTS["invoices"], A)
        await other.execute("update customers set phone = '1' where id = $1", A)
        await other.execute("update customers set deleted_at = null where id = $1", A)
        await editing.rollback()
        await writing.commit()
