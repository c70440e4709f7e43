"""On 20,000 customers and 200,000 jobs: no big table is read as a whole, helpers run once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import asyncpg
import pytest

from benchmarks.database.dataset import CUSTOMER, TABLES, Size, fill
from tests.database.callers import Connection
from tests.support.cluster import MIGRATED, Database, TestCluster
from tests.support.personas import acting_as

BIG = set(TABLES) - {"staff"}
HELPERS = ("is_staff", "is_manager", "is_admin", "my_customer_id", "my_scope", "my_lead_ids")
SCOPE = f"customer:{CUSTOMER}"
EPOCH = f"(private.scope_head('{SCOPE}')).epoch::text"
NEWEST = "order by created_at desc, id desc limit 51"
OWN = f"customer_id = '{CUSTOMER}' and deleted_at is null"
ROW = "'d0000000-0000-4000-8000-000000000020'"  # a requested job of customer 1: see the dataset
CURSOR = (
    "(created_at < '2026-02-01' or (created_at = '2026-02-01' and "
    "id < 'd0000000-0000-4000-8000-000000000020'))"
)

PORTAL = {
    "head": f"select portal_head('{SCOPE}')",
    "snapshot": f"select portal_snapshot('{SCOPE}')",
    "pull": f"select portal_pull('{SCOPE}', {EPOCH}, '5', '10')",
    "own row": f"select * from customers where id = '{CUSTOMER}'",
    "own jobs": f"select * from jobs where {OWN} order by scheduled_start",
    "own invoices": f"select * from invoices where {OWN} and status <> 'draft'",
    "own messages": f"select * from messages where {OWN} {NEWEST}",
    "own points": (
        f"select * from loyalty_transactions where customer_id = '{CUSTOMER}' order by entry_no"
    ),
    "own balance": f"select balance from loyalty_accounts where customer_id = '{CUSTOMER}'",
    "one job by id": f"select * from jobs where id = {ROW}",
    "realtime's question": f"select 1 from sync_changes where scope = '{SCOPE}' and n = 3",
    "send a message": f"insert into messages (customer_id, body) values ('{CUSTOMER}', 'x')",
    "edit the profile": f"update customers set phone = '1' where id = '{CUSTOMER}'",
    "redeem": "select redeem_points(1, 'x')",
}
STAFF = {
    "newest jobs": f"select * from jobs where deleted_at is null {NEWEST}",
    "next page of jobs": f"select * from jobs where deleted_at is null and {CURSOR} {NEWEST}",
    "newest customers": f"select * from customers where deleted_at is null {NEWEST}",
    "newest invoices": f"select * from invoices where deleted_at is null {NEWEST}",
    "newest messages": f"select * from messages where deleted_at is null {NEWEST}",
    "newest points": f"select * from loyalty_transactions {NEWEST}",
    "a customer's jobs": f"select * from jobs where {OWN} {NEWEST}",
    "a customer's thread": f"select * from messages where {OWN} {NEWEST}",
    "a customer's timeline": (
        f"select * from activity_log where customer_id = '{CUSTOMER}' "
        "order by at desc, id desc limit 51"
    ),
    "history of a row": f"select row_history('jobs', {ROW})",
    "merge information": f"select fields_changed_since('jobs', {ROW}, 1)",
    "a customer by e-mail": "select * from customers where email = '7@example.com'",
    "edit a job": f"update jobs set title = 'y' where id = {ROW} and version = 1",
    "soft delete": f"select soft_delete('jobs', {ROW})",
}


@pytest.fixture(scope="module")
def large(cluster: TestCluster) -> Iterator[Database]:
    """The large database; every test rolls back."""
    database = cluster.clone(MIGRATED, "plans")
    asyncio.run(_fill(database))
    yield database
    cluster.drop(database)


async def _fill(database: Database) -> None:
    admin = await asyncpg.connect(database.admin_url)
    try:
        await fill(admin, Size())
    finally:
        await admin.close()


@pytest.fixture
async def admin(large: Database) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(large.admin_url)
    await connection.execute("set track_functions = 'all'")
    yield connection
    await connection.close()


@dataclass(frozen=True, slots=True)
class Seen:
    """What one statement did, as the server counted it."""

    whole_reads: dict[str, int]
    calls: dict[str, int]


async def watch(admin: Connection, who: str, sql: str) -> Seen:
    """Run a statement as a persona in a rolled back transaction and count what it did."""
    transaction = admin.transaction()
    await transaction.start()
    try:
        await acting_as(admin, who)
        await admin.fetch(sql)
        # What runs at commit belongs to the statement.
        await admin.execute("reset role; set constraints all immediate")
        reads = await admin.fetch(
            "select relname, seq_scan from pg_stat_xact_user_tables "
            "where schemaname = 'public' and seq_scan > 0"
        )
        calls = await admin.fetch("select funcname, calls from pg_stat_xact_user_functions")
    finally:
        await transaction.rollback()
    return Seen(
        {r["relname"]: r["seq_scan"] for r in reads if r["relname"] in BIG},
        {r["funcname"]: r["calls"] for r in calls},
    )


@pytest.mark.parametrize("name", PORTAL)
async def test_a_portal_never_reads_a_big_table_as_a_whole(admin: Connection, name: str) -> None:
    assert (await watch(admin, "customer_a", PORTAL[name])).whole_reads == {}


@pytest.mark.parametrize("who", ["agent", "manager"])
@pytest.mark.parametrize("name", STAFF)
async def test_staff_never_read_a_big_table_as_a_whole(
    admin: Connection, name: str, who: str
) -> None:
    assert (await watch(admin, who, STAFF[name])).whole_reads == {}


READS = [
    "select count(*) from customers",
    "select count(*) from jobs",
    "select count(*) from invoices",
    "select count(*) from messages",
    "select count(*) from loyalty_transactions",
    "select count(*) from leads",
    "select count(*) from calls",
    "select count(*) from activity_log",
    "select count(*) from sync_changes",
]


@pytest.mark.parametrize("who", ["customer_a", "agent", "manager", "admin"])
@pytest.mark.parametrize("sql", READS, ids=lambda sql: sql.rsplit(" ", 1)[-1])
async def test_a_helper_runs_once_per_statement_however_many_rows(
    admin: Connection, who: str, sql: str
) -> None:
    calls = (await watch(admin, who, sql)).calls
    used = {name: calls[name] for name in HELPERS if name in calls}
    # my_scope asks my_customer_id; lead_notes and the log may ask my_lead_ids as well.
    assert used
    assert all(count == 1 for count in used.values()), used


async def test_the_counters_notice_a_whole_read_and_an_unwrapped_helper(
    admin: Connection,
) -> None:
    assert (await watch(admin, "agent", "select count(*) from jobs")).whole_reads == {"jobs": 1}
    transaction = admin.transaction()
    await transaction.start()
    try:
        await admin.execute(
            'alter policy "staff read every job, a customer the own ones" on public.jobs '
            "using (private.is_staff() or customer_id = private.my_customer_id())"
        )
        await acting_as(admin, "customer_a")
        await admin.fetch(f"select * from jobs where {OWN}")
        await admin.execute("reset role")
        calls = await admin.fetchval(
            "select calls from pg_stat_xact_user_functions where funcname = 'is_staff'"
        )
    finally:
        await transaction.rollback()
    assert calls > 1


async def test_policies_use_leakproof_operators_only(admin: Connection) -> None:
    policies = await admin.fetch(
        "select polrelid::regclass || ': ' || polname as name, "
        "coalesce(polqual::text, '') || coalesce(polwithcheck::text, '') as tree from pg_policy "
        "where polrelid::regclass::text not like 'auth.%'"
    )
    used: dict[int, set[str]] = {}
    for policy in policies:
        for number in re.findall(r":opno (\d+)", policy["tree"]):
            used.setdefault(int(number), set()).add(policy["name"])
    assert len(used) >= 3
    leaking = await admin.fetch(
        "select o.oid::int as number, o.oid::regoperator::text as operator from pg_operator o "
        "join pg_proc p on p.oid = o.oprcode where o.oid = any($1::oid[]) and not p.proleakproof",
        list(used),
    )
    assert {r["operator"]: used[r["number"]] for r in leaking} == {}
