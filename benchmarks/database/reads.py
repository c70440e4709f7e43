"""Time portal reads in the database: under row level security, and as the owner."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.database.dataset import CUSTOMER, PORTAL_USER, Connection

SCOPE = f"customer:{CUSTOMER}"
ROUNDS = 400
QUERIES: Mapping[str, str] = {
    "jobs of the customer, newest 50": (
        f"select * from jobs where customer_id = '{CUSTOMER}' and deleted_at is null "
        "order by created_at desc, id desc limit 50"
    ),
    "all jobs of the customer": (
        f"select * from jobs where customer_id = '{CUSTOMER}' and deleted_at is null "
        "order by scheduled_start"
    ),
    "the thread": (
        f"select * from messages where customer_id = '{CUSTOMER}' and deleted_at is null "
        "order by created_at, id"
    ),
    "invoices": (
        f"select * from invoices where customer_id = '{CUSTOMER}' and deleted_at is null "
        "and status <> 'draft' order by created_at desc"
    ),
    "one job by id": "select * from jobs where id = 'd0000000-0000-4000-8000-000000020000'",
}


# What an ordinary session's token says; the helpers read "sub" out of all of it.
CLAIMS = json.dumps(
    {
        "iss": "https://project.supabase.co/auth/v1",
        "sub": PORTAL_USER,
        "aud": "authenticated",
        "exp": 1795000000,
        "iat": 1794996400,
        "email": "1@example.com",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {"email_verified": True},
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": 1794996400}],
        "session_id": PORTAL_USER,
        "is_anonymous": False,
    }
)
# As PostgREST prepares every request's transaction, and wraps its query.
SET_UP = (
    "select set_config('search_path', $1, true), set_config('role', $2, true), "
    "set_config('request.jwt.claims', $3, true), set_config('request.method', 'GET', true), "
    "set_config('request.path', '/jobs', true), set_config('request.headers', $4, true), "
    "set_config('request.cookies', '{}', true)"
)
ROLES = ("postgres", "authenticated")
HEADERS = json.dumps({"accept": "application/json", "user-agent": "benchmark"})
WRAPPED = (
    "with pgrst_source as ({sql}) select null::bigint as total_result_set, "
    "pg_catalog.count(_postgrest_t) as page_total, "
    "coalesce(json_agg(_postgrest_t), '[]') as body from (select * from pgrst_source) _postgrest_t"
)


@dataclass(frozen=True, slots=True)
class Clock:
    """Medians of one query by one clock, in milliseconds.

    Owner and customer take turns, so that a busy moment of the machine meets both.
    """

    owner_ms: float
    rls_ms: float
    ratio: float


async def become_customer(db: Connection) -> None:
    """Be portal user 1 for the rest of the transaction."""
    await db.execute(
        "select set_config('role', 'authenticated', true), "
        "set_config('request.jwt.claims', $1, true)",
        CLAIMS,
    )


class Requests:
    """A session that is sent requests the way PostgREST sends them: one transaction each.

    Args:
        db: As a role that may become `postgres` and `authenticated`.
        sql: The query.
        prepared: Prepare it once per session, as PostgREST does by default; else it is planned
            anew for every request, as behind a transaction pooler.
    """

    def __init__(self, db: Connection, sql: str, *, prepared: bool) -> None:
        self._db = db
        self._sql = WRAPPED.format(sql=sql)
        self._prepared = prepared

    async def open(self) -> None:
        """Prepare what a session prepares."""
        self._set_up = await self._db.prepare(SET_UP)
        # One per role: a plan belongs to the role it was made for, and a change makes a new one.
        self._queries = {role: await self._db.prepare(self._sql) for role in ROLES}

    async def send(self, role: str) -> float:
        """Send one request; return how long it took, in milliseconds."""
        began = time.perf_counter()
        await self._db.execute("begin isolation level read committed read only")
        await self._set_up.fetchrow('"public", "extensions"', role, CLAIMS, HEADERS)
        if self._prepared:
            await self._queries[role].fetchrow()
        else:
            # The simple protocol: parse, plan and execute in one.
            await self._db.execute(self._sql)
        await self._db.execute("commit")
        return (time.perf_counter() - began) * 1000


async def _executions_ms(db: Connection, sql: str) -> float:
    times: list[float] = []
    explain = await db.prepare(f"explain (analyze, timing off, format json) {sql}")
    for _ in range(ROUNDS):
        plan: list[dict[str, Any]] = json.loads(await explain.fetchval())
        times.append(plan[0]["Execution Time"])
    return statistics.median(times)


async def _round_trips_ms(db: Connection, sql: str) -> tuple[float, int]:
    times = []
    statement = await db.prepare(sql)
    rows = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        rows = await statement.fetch()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times), len(rows)


async def measure(db: Connection, sql: str, *, as_customer: bool) -> tuple[float, float, int]:
    """Return median execution and round trip in ms, and the number of rows."""
    async with db.transaction():
        if as_customer:
            await become_customer(db)
        executed_ms = await _executions_ms(db, sql)
        round_trip_ms, rows = await _round_trips_ms(db, sql)
    return executed_ms, round_trip_ms, rows


async def by_turns(db: Connection, sql: str, *, prepared: bool) -> Clock:
    """Time whole requests of the owner and of the customer, in turns."""
    requests = Requests(db, sql, prepared=prepared)
    await requests.open()
    times: dict[str, list[float]] = {role: [] for role in ROLES}
    for _ in range(ROUNDS):
        for role, taken in times.items():
            taken.append(await requests.send(role))
    return as_clock(*(statistics.median(taken) for taken in times.values()))


def as_clock(owner_ms: float, rls_ms: float) -> Clock:
    """Round, and compare."""
    return Clock(round(owner_ms, 3), round(rls_ms, 3), round(rls_ms / owner_ms, 2))


async def compare_queries(db: Connection) -> dict[str, dict[str, Any]]:
    """Compare every portal query under row level security with the owner's, by four clocks."""
    compared: dict[str, dict[str, Any]] = {}
    for name, sql in QUERIES.items():
        owner_ms, owner_trip_ms, rows = await measure(db, sql, as_customer=False)
        rls_ms, rls_trip_ms, seen = await measure(db, sql, as_customer=True)
        if rows != seen:
            raise AssertionError(f"{name}: owner {rows} rows, customer {seen}")
        clocks = {
            "request, prepared": await by_turns(db, sql, prepared=True),
            "request, planned anew": await by_turns(db, sql, prepared=False),
            "statement": as_clock(owner_trip_ms, rls_trip_ms),
            "executor": as_clock(owner_ms, rls_ms),
        }
        compared[name] = {"rows": rows} | {word: asdict(clock) for word, clock in clocks.items()}
    return compared


async def measure_rpcs(db: Connection) -> dict[str, dict[str, float]]:
    """Time portal_pull of 10 changes, portal_head and portal_snapshot as the customer."""
    head = await db.fetchrow("select epoch, n from sync_scopes where scope = $1", SCOPE)
    assert head is not None
    calls = {
        "portal_pull of 10 changes": (
            f"select portal_pull('{SCOPE}', '{head['epoch']}', '{head['n'] - 10}', '10')"
        ),
        "portal_head": f"select portal_head('{SCOPE}')",
        "portal_snapshot": f"select portal_snapshot('{SCOPE}')",
    }
    timed = {}
    for name, sql in calls.items():
        executed_ms, round_trip_ms, _rows = await measure(db, sql, as_customer=True)
        timed[name] = {
            "in_database_ms": round(executed_ms, 3),
            "round_trip_ms": round(round_trip_ms, 3),
        }
    return timed
