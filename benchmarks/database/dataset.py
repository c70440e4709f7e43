"""Fill a migrated database with many rows in seconds, for plans and measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CUSTOMER = "c0000000-0000-4000-8000-000000000001"
PORTAL_USER = "b0000000-0000-4000-8000-000000000001"
STAFF = {
    "admin": "a0000000-0000-4000-8000-000000000001",
    "manager": "a0000000-0000-4000-8000-000000000002",
    "agent": "a0000000-0000-4000-8000-000000000003",
}
TABLES = (
    "staff",
    "customers",
    "leads",
    "calls",
    "jobs",
    "invoices",
    "messages",
    "loyalty_transactions",
    "activity_log",
    "sync_scopes",
    "sync_changes",
)
_OWNER = "pg_temp.made_id('c', i % $1::integer + 1)"
_START = "timestamptz '2026-01-01' + i * interval '1 minute'"
_STEPS = (
    """
    insert into auth.users (id, aud, role, email)
    select pg_temp.made_id('b', i), 'authenticated', 'authenticated', i || '@example.com'
    from generate_series(1, 200) i
    union all
    select pg_temp.made_id('a', i), 'authenticated', 'authenticated', i || '@crm.example'
    from generate_series(1, 3) i""",
    """
    insert into public.staff (user_id, full_name, email, role)
    select pg_temp.made_id('a', i), 'Staff ' || i, i || '@crm.example',
        (array['admin', 'manager', 'agent'])[i]
    from generate_series(1, 3) i""",
    f"""
    insert into public.customers (id, portal_user_id, name, email, created_at, updated_at)
    select pg_temp.made_id('c', i), case when i <= 200 then pg_temp.made_id('b', i) end,
        'Customer ' || i, i || '@example.com', {_START}, {_START}
    from generate_series(1, $1::integer) i""",
    f"""
    insert into public.leads (customer_id, score, assigned_to, created_at, updated_at)
    select pg_temp.made_id('c', i), i % 101, pg_temp.made_id('a', 2 + i % 2), {_START}, {_START}
    from generate_series(1, $1::integer / 2) i""",
    f"""
    insert into public.calls (customer_id, staff_id, direction, started_at, created_at)
    select {_OWNER}, pg_temp.made_id('a', 2 + i % 2),
        'inbound', {_START}, {_START} from generate_series(1, $1::integer) i""",
    f"""
    insert into public.jobs (id, customer_id, title, status, scheduled_start, completed_at,
        created_at, updated_at)
    select pg_temp.made_id('d', i), {_OWNER}, 'Job ' || i,
        s.status, {_START}, case s.status when 'completed' then {_START} end, {_START}, {_START}
    from generate_series(1, $1::integer * 10) i
    cross join lateral (
        select (array['completed', 'scheduled', 'completed', 'in_progress', 'requested'])[i % 5 + 1]
            as status) as s""",
    f"""
    insert into public.invoices (id, customer_id, number, status, total_cents, sent_at, created_at,
        updated_at)
    select pg_temp.made_id('e', i), {_OWNER}, i, 'sent', i, {_START},
        {_START}, {_START}
    from generate_series(1, $1::integer * 3) i""",
    f"""
    insert into public.messages (id, customer_id, body, created_at, updated_at)
    select pg_temp.made_id('f', i), {_OWNER}, 'Message ' || i, {_START},
        {_START}
    from generate_series(1, $1::integer * 5) i""",
    f"""
    insert into public.loyalty_transactions (id, customer_id, entry_no, points, balance_after, kind,
        created_at, updated_at)
    select pg_temp.made_id('1', i), {_OWNER}, (i - 1) / $1::integer + 1, 1, 1,
        'award', {_START}, {_START}
    from generate_series(1, $1::integer * 2) i""",
    """
    insert into public.loyalty_accounts (customer_id, balance, last_entry)
    select pg_temp.made_id('c', i), 2, 2 from generate_series(1, $1::integer) i""",
    """
    insert into public.activity_log (table_name, row_id, customer_id, op, new, row_version,
        actor_kind)
    select 'jobs', j.id::text, j.customer_id, 'insert', '{"title": "x"}', 1, 'system'
    from public.jobs j""",
)
_FEED = (
    """
    insert into public.sync_changes (scope, n, table_name, row_id, op, version, "row", committed_at)
    select 'customer:' || j.customer_id, r.pass * k.per_customer + k.place, 'jobs', j.id, 'upsert',
        r.pass + 1,
        jsonb_build_object(
            'id', j.id, 'customer_id', j.customer_id, 'title', j.title, 'version', r.pass + 1
        ),
        now()
    from generate_series(
        0, ($1::integer - 1) / (select count(*)::integer from public.jobs)
    ) as r (pass)
    cross join (
        select j.*, row_number() over (partition by j.customer_id order by j.id) as place,
            count(*) over (partition by j.customer_id) as per_customer from public.jobs j
    ) as k
    join public.jobs j on j.id = k.id
    order by r.pass, j.id""",
    """
    insert into public.sync_scopes (scope, n)
    select c.scope, max(c.n) from public.sync_changes c group by c.scope""",
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much: 10 jobs, 3 invoices, 5 messages and 2 ledger entries per customer."""

    customers: int = 20_000
    changes: int = 200_000


async def fill(admin: Connection, size: Size) -> None:
    """Fill an empty, migrated database; its triggers sleep meanwhile.

    Args:
        admin: A superuser's connection: only one may put triggers to sleep.
        size: How many customers and feed entries.
    """
    await admin.execute(
        "create or replace function pg_temp.made_id(kind text, i bigint) returns uuid "
        "language sql immutable as "
        "$$ select (kind || '0000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid $$"
    )
    await admin.execute("set session_replication_role = replica; set timezone = 'UTC'")
    for step in _STEPS:
        await admin.execute(step, *([size.customers] if "$1" in step else []))
    for step in _FEED:
        await admin.execute(step, *([size.changes] if "$1" in step else []))
    await admin.execute("set session_replication_role = origin")
    for table in (*TABLES, "loyalty_accounts"):
        await admin.execute(f"vacuum (analyze) public.{table}")


_ENLARGE = (
    f"""
    insert into public.jobs (customer_id, title, created_at)
    select '{CUSTOMER}', 'Extra job ' || i, {_START} from generate_series(1, 290) i""",
    f"""
    insert into public.messages (customer_id, body, created_at)
    select '{CUSTOMER}', 'Extra message ' || i, {_START} from generate_series(1, 194) i""",
)


async def enlarge(admin: Connection) -> int:
    """Give customer 1 more rows, through the triggers; return how many rows the slice has now."""
    for step in _ENLARGE:
        await admin.execute(step)
    await admin.execute("vacuum (analyze) public.jobs, public.messages, public.sync_changes")
    digest = await admin.fetchval(
        "select sum((t.value ->> 'count')::int) from jsonb_each(private.portal_digest($1)) as t",
        CUSTOMER,
    )
    return int(digest)
