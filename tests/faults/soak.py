"""The long run of the fault matrix: ``python -m tests.faults.soak``.

At least 1,000 faults and 20,000 changes over the four kinds of doorbell, every kind with a customer
of its own. It writes what it saw to benchmarks/results/faults.json and ends with 1 if anything was
wrong, or if it saw too little to say so: the race that a naive cursor loses is rare.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import random
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tests.faults.campaign import Campaign
from tests.faults.counters import WRONGS, Counters
from tests.faults.matrix import DOORBELLS
from tests.faults.proxy import FaultProxy
from tests.faults.world import SMALL_STEPS
from tests.integration.portal_sdk.conftest import make_account
from tests.support.stack_thread import StackThread

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "faults.json"
FEWEST_FAULTS = 1_000
FEWEST_CHANGES = 20_000
FEWEST_OVERLAPS_PER_S = 1.0
DEVICES, WRITERS = 2, 3
SCREEN = Console(highlight=False, markup=False)


def main() -> int:
    """Run the campaigns; return the exit status."""
    for module, attribute, value in SMALL_STEPS:
        setattr(module, attribute, value)
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="of every random choice")
    parser.add_argument("--doorbells", choices=list(DOORBELLS), action="append")
    parser.add_argument("--faults", type=int, default=FEWEST_FAULTS // 4 + 10, help="per doorbell")
    parser.add_argument("--writes", type=int, default=6_000, help="transactions per doorbell")
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    # Faults are logged by the thousand; what matters is counted.
    logging.getLogger("portal_sdk").setLevel(logging.CRITICAL)
    SCREEN.print(f"seed {seed}")
    names = options.doorbells or list(DOORBELLS)
    runs = read_runs(options.result) if options.doorbells else {}
    for name in names:
        runs[name] = run_one(name, seed, options.faults, options.writes)
        write_result(options.result, runs)
    return report(runs)


def run_one(name: str, seed: int, fault_count: int, write_count: int) -> dict[str, Any]:
    """Run the campaign of one kind of doorbell on a stack of its own."""
    stack = StackThread()
    stack.start()
    try:
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("ends in"), TimeRemainingColumn(),
            TextColumn("{task.fields[writes]} writes"), console=SCREEN,
        ) as progress:  # fmt: skip
            bar = progress.add_task(name, total=fault_count, writes=0)

            def show(counters: Counters) -> None:
                progress.update(bar, completed=counters.faults, writes=counters.writes)

            return asyncio.run(campaign(stack, name, seed, fault_count, write_count, show))
    finally:
        stack.close()


async def campaign(
    stack: Any, name: str, seed: int, fault_count: int, write_count: int,
    show: Callable[[Counters], None],
) -> dict[str, Any]:  # fmt: skip
    """Run one campaign and return what is written down of it."""
    database = await asyncpg.connect(stack.database_url)
    account, other = await make_account(stack, database), await make_account(stack, database)
    with tempfile.TemporaryDirectory() as folder:
        async with FaultProxy(stack.api_url) as proxy:
            run = Campaign(
                account, other, proxy, Path(folder), seed=seed, doorbells=name, short=False,
                device_count=DEVICES, writer_count=WRITERS, has_writer=True, on_progress=show,
            )  # fmt: skip
            counters = await run.run(fault_count=fault_count, write_count=write_count)
    database.terminate()  # PostgreSQL may have been restarted under it
    return summary(counters, seed, run.seconds)


def summary(counters: Counters, seed: int, seconds: float) -> dict[str, Any]:
    """Return the counts of one campaign."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "seconds": round(seconds, 1),
        "devices": DEVICES,
        "writers": WRITERS,
        "faults": counters.faults,
        "changes_written": counters.writes,
        "changes_seen": counters.changes_seen,
        "customer_writes": counters.customer_writes,
        "customer_writes_refused": counters.refused_writes,
        "writer_overlaps_per_s": round(counters.overlaps / seconds, 1),
        "judgements": counters.judgements,
        **{name: getattr(counters, name) for name in WRONGS},
        "by_fault": dict(sorted(counters.by_fault.items())),
        "details": counters.details[:20],
    }


def totals(runs: dict[str, Any]) -> dict[str, Any]:
    """Add the campaigns up; overlaps are those of the weakest one."""
    names = ("faults", "changes_written", "changes_seen", "judgements", *WRONGS)
    added = {name: sum(run[name] for run in runs.values()) for name in names}
    overlaps = min(run["writer_overlaps_per_s"] for run in runs.values())
    return {**added, "writer_overlaps_per_s": overlaps}


def too_little(added: dict[str, Any]) -> list[str]:
    """Say why a run does not count, if it does not."""
    wanted = {
        "faults": FEWEST_FAULTS,
        "changes_written": FEWEST_CHANGES,
        "writer_overlaps_per_s": FEWEST_OVERLAPS_PER_S,
    }
    return [
        f"{name}: {added[name]} of at least {fewest}"
        for name, fewest in wanted.items()
        if added[name] < fewest
    ]


def read_runs(path: Path) -> dict[str, Any]:
    """Return the campaigns that are written down already; a slice of a run joins them."""
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text())["runs"]
    return found


def write_result(path: Path, runs: dict[str, Any]) -> None:
    """Write down what was seen so far."""
    body = {
        "command": "python -m tests.faults.soak",
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "totals": totals(runs),
        "runs": runs,
    }
    path.write_text(json.dumps(body, indent=2) + "\n")


def report(runs: dict[str, Any]) -> int:
    """Print the verdict; return 0 only for a run that counts and found nothing."""
    added = totals(runs)
    for name, value in added.items():
        SCREEN.print(f"{name:24} {value}")
    for run in runs.values():
        for line in run["details"]:
            SCREEN.print(line)
    missing = too_little(added)
    for line in missing:
        SCREEN.print(f"This run does not count: {line}")
    return 1 if missing or any(added[name] for name in WRONGS) else 0


if __name__ == "__main__":
    sys.exit(main())
