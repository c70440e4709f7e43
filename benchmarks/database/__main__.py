"""Measure the database part: ``python -m benchmarks.database``.

Starts its own PostgreSQL 18 (with fsync, as in production), fills it, measures, prints, and writes
``benchmarks/results/database.json`` unless ``--no-save``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.database.dataset import Size, enlarge, fill
from benchmarks.database.reads import compare_queries, measure_rpcs
from benchmarks.database.writes import SCRIPTS, Load, measure_feed, measure_staff_ring
from local_stack.folder import load_passwords, make_ephemeral
from local_stack.postgres.bootstrap import apply_bootstrap
from local_stack.postgres.cluster import Cluster, ClusterConfig
from local_stack.postgres.migrate import apply_migrations

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "database.json"
TARGETS = {
    "portal query under row level security / owner, request prepared": "<= 1.3",
    "portal_pull of 10 changes, feed of 1,000,000": "<= 3 ms",
    "portal_snapshot of 500 rows": "<= 15 ms",
    "feed cost at 1,000 customers": "<= 35 %",
}


PARTS = ("reads", "feed", "ring")
CUSTOMERS = (1, 16, 1000)


def load_of(script: str, customers: int, arguments: argparse.Namespace) -> Load:
    """Return one way of writing, as long and as often as the command line says."""
    return Load(script, customers, arguments.seconds, arguments.rounds)


@asynccontextmanager
async def running_database() -> AsyncIterator[tuple[str, str]]:
    """A migrated database: URLs of the superuser and of the owner."""
    folder = make_ephemeral()
    passwords = load_passwords(folder)
    config = ClusterConfig(folder / "postgres", passwords["supabase_admin"], durable=True)
    cluster = Cluster(config)
    try:
        await cluster.start()
        admin = cluster.admin_dsn()
        await apply_bootstrap(admin, passwords)
        owner = cluster.dsn("postgres", passwords["postgres"], "postgres")
        await apply_migrations(owner, ROOT / "supabase" / "migrations")
        yield admin, owner
    finally:
        await cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def measure_all(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fill and measure; return the document that is saved."""
    async with running_database() as (admin_url, owner_url):
        admin = await asyncpg.connect(admin_url)
        owner = await asyncpg.connect(owner_url)
        try:
            await fill(admin, Size(changes=arguments.changes))
            rows = await enlarge(admin)
            changes = await admin.fetchval("select count(*) from sync_changes")
            wanted = arguments.only or PARTS
            document: dict[str, Any] = {
                "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": f"{os.cpu_count()} cores, {platform.machine()}",
                "postgresql": await admin.fetchval("show server_version"),
                "sizes": {"jobs": 200_000, "feed_entries": changes, "slice_rows": rows},
                "targets": TARGETS,
            }
            if "reads" in wanted:
                document["queries"] = await compare_queries(owner)
                document["rpcs"] = await measure_rpcs(owner)
            if "feed" in wanted:
                document["feed_on_the_write_path"] = {
                    f"{script}, {customers} customers": await measure_feed(
                        owner, owner_url, load_of(script, customers, arguments)
                    )
                    for script in SCRIPTS
                    for customers in CUSTOMERS
                }
            if "ring" in wanted:
                document["staff_ring_on_the_write_path"] = {
                    script: await measure_staff_ring(
                        owner, owner_url, load_of(script, CUSTOMERS[-1], arguments)
                    )
                    for script in SCRIPTS
                }
        finally:
            await admin.close()
            await owner.close()
    return document


def main() -> None:
    """Parse the command line, measure, print, save."""
    parser = argparse.ArgumentParser(prog="benchmarks.database", description=__doc__)
    parser.add_argument("--changes", type=int, default=1_000_000, help="feed entries")
    parser.add_argument("--seconds", type=int, default=5, help="of each pgbench run")
    parser.add_argument("--rounds", type=int, default=3, help="pgbench runs per figure")
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="a part; saved with --out only"
    )
    parser.add_argument("--no-save", action="store_true", help="print only")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the result file")
    arguments = parser.parse_args()
    text = json.dumps(asyncio.run(measure_all(arguments)), indent=2)
    print(text)
    is_committed = arguments.out == RESULTS
    if not arguments.no_save and not (arguments.only and is_committed):
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
