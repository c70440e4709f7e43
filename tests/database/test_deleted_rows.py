"""No call that writes changes a deleted row; restoring it is the way to go on with it."""

from __future__ import annotations

import asyncpg
import pytest

from tests.database.callers import Connection, call
from tests.database.waiting import begun, two_sessions, waiting
from tests.support.cluster import Database
from tests.support.personas import customer_id

A, B = customer_id(1), customer_id(2)
JOB, DRAFT = "d0000000-0000-4000-8000-00000000aa01", "e0000000-0000-4000-8000-00000000aa01"
AGENT = "a0000000-0000-4000-8000-000000000003"
ITEMS = '[{"description": "Work", "unit_price_cents": 500}]'
MOVE_JOB = f"select move_to_customer('jobs', '{JOB}', '{B}')"
MOVE_DRAFT = f"select move_to_customer('invoices', '{DRAFT}', '{B}')"
REPLACE = f"select to_jsonb(replace_invoice_items('{DRAFT}', '{ITEMS}'))"
ASSIGN = f"select to_jsonb(assign_job('{JOB}', '{AGENT}'))"
CALLS = {
    "jobs": [MOVE_JOB, MOVE_JOB.replace(f"'{B}'", f"'{B}', 1"), ASSIGN],
    "invoices": [
        MOVE_DRAFT,
        MOVE_DRAFT.replace(f"'{B}'", f"'{B}', 1"),
        REPLACE,
        REPLACE.replace(f"'{ITEMS}'", f"'{ITEMS}', 1"),
    ],
}
IDS = {"jobs": JOB, "invoices": DRAFT}
STATE = """select jsonb_build_array(
    (select jsonb_agg(to_jsonb(j) order by j.id) from jobs as j),
    (select jsonb_agg(to_jsonb(i) order by i.id) from invoices as i),
    (select jsonb_agg(to_jsonb(i) order by i.id) from invoice_items as i),
    (select jsonb_agg(to_jsonb(c) order by c.id) from customers as c),
    (select jsonb_agg(to_jsonb(a) order by a.job_id) from job_assignments as a),
    (select max(id) from activity_log))::text"""
EACH = pytest.mark.parametrize(
    ("table", "sql"), [(table, sql) for table, calls in CALLS.items() for sql in calls]
)


async def prepare(db: Connection) -> None:
    """Write a job with a note and a draft with an item."""
    await db.execute("insert into jobs (id, customer_id, title) values ($1, $2, 'x')", JOB, A)
    await call(db, "agent", "insert into job_notes (job_id, body) values ($1, 'x')", JOB)
    invoice = f'{{"id": "{DRAFT}", "customer_id": "{A}"}}'
    await call(db, "agent", f"select to_jsonb(create_invoice('{invoice}', '{ITEMS}'))")


@EACH
@pytest.mark.parametrize("who", ["agent", "manager", "service_role"])
async def test_a_deleted_row_stays_as_it_is(db: Connection, table: str, sql: str, who: str) -> None:
    """It is said before anything else about the row, such as that its version is stale."""
    await prepare(db)
    await call(db, "agent", "select soft_delete($1, $2)", table, IDS[table])
    before = await db.fetchval(STATE)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await call(db, who, sql)
    error = refused.value
    assert (error.sqlstate, error.args[0]) == ("PT409", "the row is deleted")
    assert error.detail == f"{table}: {IDS[table]}"
    assert error.hint == "To go on with it, put it back first with restore_row."
    assert await db.fetchval(STATE) == before
    made = "select min(id) from activity_log where table_name = $1 and row_id = $2::uuid::text"
    await call(db, "agent", f"select restore_row($1, $2, ({made}))", table, IDS[table])
    await call(db, who, sql.replace(", 1)", ")"))
    assert await db.fetchval(STATE) != before


@EACH
async def test_an_unknown_row_is_said_to_be_unknown(db: Connection, table: str, sql: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await call(db, "manager", sql)
    assert (refused.value.sqlstate, refused.value.args[0]) == ("PT404", "no such row")


@EACH
async def test_a_call_waits_for_the_deletion_and_is_refused(
    database: Database, table: str, sql: str
) -> None:
    """Whoever comes second sees what the first one did."""
    async with two_sessions(database) as (deleter, writer):
        await prepare(deleter)
        deleting = await begun(deleter)
        await deleter.execute("select soft_delete($1, $2)", table, IDS[table])
        written = await waiting(deleter, writer, writer.execute(sql))
        await deleting.commit()
        assert await written == "PT409 the row is deleted"


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("table", ["customers", "jobs"])
async def test_a_save_in_bulk_leaves_deleted_rows_alone(
    db: Connection, table: str, atomic: bool
) -> None:
    """The row is refused by name, and the others are written unless all or none is asked for."""
    await prepare(db)
    row = A if table == "customers" else JOB
    other = B if table == "customers" else "d0000000-0000-4000-8000-000000000801"
    field = "name" if table == "customers" else "title"
    owner = {} if table == "customers" else {"customer_id": A}
    rows = [{"id": one, field: "New", **owner} for one in (row, other)]
    await call(db, "agent", "select soft_delete($1, $2)", table, row)
    gone = await db.fetchval(f"select to_jsonb(t)::text from {table} as t where id = $1", row)
    results = await call(db, "agent", "select bulk_write($1, $2, $3, 'save')", table, rows, atomic)
    assert results[0] == {
        "index": 0,
        "id": row,
        "status": "failed",
        "version": None,
        "code": "PT409",
        "message": "the row is deleted",
        "hint": "To go on with it, put it back first with restore_row.",
    }
    assert results[1]["status"] == ("undone" if atomic else "updated")
    assert gone == await db.fetchval(
        f"select to_jsonb(t)::text from {table} as t where id = $1", row
    )


async def test_a_save_that_would_change_nothing_is_no_change(db: Connection) -> None:
    """A deleted row that is as it is saved is `unchanged`, as any other."""
    await prepare(db)
    await call(db, "agent", "select soft_delete('jobs', $1)", JOB)
    rows = [{"id": JOB, "customer_id": A, "title": "x"}]
    (result,) = await call(db, "agent", "select bulk_write('jobs', $1, false, 'save')", rows)
    assert result["status"] == "unchanged"
