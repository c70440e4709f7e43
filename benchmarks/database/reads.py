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


@dataclass(frozen=True, slots=True)
class Comparison:
    """Medians of one query, in milliseconds; round trips include the client's side."""

    rows: int
    owner_ms: float
    rls_ms: float
    owner_round_trip_ms: float
    rls_round_trip_ms: float
    ratio: float
    round_trip_ratio: float


async def become_customer(db: Connection) -> None:
    """Be portal user 1 for the rest of the transaction."""
    claims = json.dumps({"sub": PORTAL_USER, "role": "authenticated"})
    await db.execute(
        "select set_config('role', 'authenticated', true), "
        "set_config('request.jwt.claims', $1, true)",
        claims,
    )


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


async def compare_queries(db: Connection) -> dict[str, dict[str, float]]:
    """Compare every portal query under row level security with the owner's."""
    compared = {}
    for name, sql in QUERIES.items():
        owner_ms, owner_trip_ms, rows = await measure(db, sql, as_customer=False)
        rls_ms, rls_trip_ms, seen = await measure(db, sql, as_customer=True)
        if rows != seen:
            raise AssertionError(f"{name}: owner {rows} rows, customer {seen}")
        comparison = Comparison(
            rows,
            round(owner_ms, 3),
            round(rls_ms, 3),
            round(owner_trip_ms, 3),
            round(rls_trip_ms, 3),
            round(rls_ms / owner_ms, 2),
            round(rls_trip_ms / owner_trip_ms, 2),
        )
        compared[name] = asdict(comparison)
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
