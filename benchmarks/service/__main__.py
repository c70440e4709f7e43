"""Measure crm_service with everything on this machine: service, stack, PostgreSQL and generator.

Run: python -m benchmarks.service [--only PART …] [--out FILE]

`memory` takes minutes and runs only when it is named. With `--out`, parts that were not run keep
the figures they have in the file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.service.dashboard import dashboard
from benchmarks.service.load import flat_out, paced
from benchmarks.service.memory import memory
from benchmarks.service.overhead import overhead
from benchmarks.service.rows import bulk, csv_import
from benchmarks.service.world import World, running_world

_log = logging.getLogger("benchmarks.service")
PARTS = ("overhead", "paced", "paced_550", "flat_out", "csv_import", "bulk", "dashboard", "memory")


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Start everything and run the chosen parts; one that fails does not cost the others."""
    found = {}
    async with running_world() as world:
        for name in options.only:
            try:
                found[name] = await _part(name, world, options)
            except Exception as error:  # noqa: BLE001 - told, and the other parts count
                _log.exception("%s failed", name)
                found[name] = {"failed": type(error).__name__}
    return found


async def _part(name: str, world: World, options: argparse.Namespace) -> dict[str, Any]:
    parts: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
        "overhead": lambda: overhead(world, options.rounds),
        "paced": lambda: _paced(world, options, options.offered),
        "paced_550": lambda: _paced(world, options, 550.0),
        "flat_out": lambda: flat_out(world, options.seconds),
        "csv_import": lambda: csv_import(world),
        "bulk": lambda: bulk(world),
        "dashboard": lambda: dashboard(world),
        "memory": lambda: memory(world),
    }
    load_before = os.getloadavg()[0]
    return {"load_average_before": round(load_before, 2), **await parts[name]()}


async def _paced(world: World, options: argparse.Namespace, per_s: float) -> dict[str, Any]:
    """Return the run with the median p95, and the p95 of all runs.

    On a virtual machine that is not always given its processors, one run says little.
    """
    runs = [await paced(world, options.seconds, per_s) for _ in range(options.repeats)]
    runs.sort(key=lambda run: run["all_ms"]["p95"])
    p95s = [run["all_ms"]["p95"] for run in runs]
    return {**runs[len(runs) // 2], "p95_ms_of_runs": p95s}


def main() -> int:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS[:-1]))
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load")
    parser.add_argument("--repeats", type=int, default=5, help="of each paced load")
    parser.add_argument("--rounds", type=int, default=300, help="of the overhead")
    parser.add_argument("--offered", type=float, default=510.0, help="requests/s of the paced load")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measure(options))
    kept = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    result = {
        **kept,
        "command": "python -m benchmarks.service",
        "machine": {"cpus": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        **found,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    return int(any("failed" in part for part in found.values()))


if __name__ == "__main__":
    sys.exit(main())
