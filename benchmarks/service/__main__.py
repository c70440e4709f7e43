"""Measure crm_service with everything on this machine: service, stack, PostgreSQL and generator.

Run: python -m benchmarks.service [--only PART …] [--out FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.service.load import flat_out, paced
from benchmarks.service.overhead import overhead
from benchmarks.service.world import World, running_world

PARTS = ("overhead", "paced", "flat_out")


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Start everything and run the chosen parts."""
    async with running_world() as world:
        return {name: await _part(name, world, options) for name in options.only}


async def _part(name: str, world: World, options: argparse.Namespace) -> dict[str, Any]:
    if name == "overhead":
        return await overhead(world, options.rounds)
    if name == "paced":
        return await paced(world, options.seconds, options.offered)
    return await flat_out(world, options.seconds)


def main() -> int:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=300, help="of the overhead")
    parser.add_argument("--offered", type=float, default=550.0, help="requests/s of the paced load")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measure(options))
    result = {
        "command": "python -m benchmarks.service",
        "machine": {"cpus": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        "load_average_before": round(load_before, 2),
        **found,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
