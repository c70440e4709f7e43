"""Measure the stack's life cycle: start, stop, fresh database, reset, memory.

Run from the repository's root::

    .venv/bin/python -m benchmarks.stack --runs 5 --out benchmarks/stack/results.json

Every start is `portalctl up` in a process of its own, as users start it. Memory is what the process
has resident, libraries included; PostgreSQL's processes share their buffers, so theirs is the sum
of the proportional shares. Both come from /proc, so Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from local_stack.config import StackConfig
from local_stack.locations import temporary_parent
from local_stack.stack import LocalStack
from tests.support.processes import descendants

REPOSITORY = Path(__file__).resolve().parents[2]
TARGETS = {
    "start_new_s": 8.0,
    "start_existing_s": 3.0,
    "stop_s": 3.0,
    "fresh_database_s": 0.5,
    "memory_idle_mb": 150.0,
    "memory_after_load_mb": 150.0,
}
LOAD_REQUESTS = 3_000
LOAD_CLIENTS = 16


@dataclass
class Measured:
    """Samples by name of the figure."""

    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.samples.setdefault(name, []).append(value)

    def report(self) -> dict[str, Any]:
        return {
            name: {
                "median": round(statistics.median(values), 3),
                "worst": round(max(values), 3),
                "runs": len(values),
                **({"target": TARGETS[name]} if name in TARGETS else {}),
            }
            for name, values in self.samples.items()
        }


def main() -> int:
    """Measure, print, write the result; exit status 1 when a median misses its target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    measured = Measured()
    for number in range(1, options.runs + 1):
        print(f"run {number} of {options.runs}", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=temporary_parent()) as folder:
            Path(folder).chmod(0o711)
            data = Path(folder) / "data"
            _one_life(data, measured, "start_new_s")
            _one_life(data, measured, "start_existing_s")
    asyncio.run(_databases(measured, options.runs))
    result = {
        "command": "python -m benchmarks.stack",
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
        "load_average_at_end": [round(value, 2) for value in os.getloadavg()],
        "load": f"{LOAD_REQUESTS} REST reads by {LOAD_CLIENTS} clients",
        "figures": measured.report(),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")
    return int(any(one["median"] > one.get("target", one["median"]) for one in _figures(result)))


def _figures(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from result["figures"].values()


def _one_life(data: Path, measured: Measured, name: str) -> None:
    command = [sys.executable, "-m", "portalctl", "up", "--json", "--port", "0", "--db-port", "0"]
    started = time.monotonic()
    process = subprocess.Popen(
        [*command, "--data", str(data)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    facts = json.loads(process.stdout.readline())
    measured.add(name, time.monotonic() - started)
    try:
        measured.add("memory_idle_mb", _memory_mb(process.pid))
        if name == "start_existing_s":
            asyncio.run(_load(facts["api_url"], facts["env"]["SUPABASE_SECRET_KEY"]))
            measured.add("memory_after_load_mb", _memory_mb(process.pid))
            postgres = sum(_memory_mb(pid, "Pss") for pid in descendants(process.pid))
            measured.add("postgres_memory_mb", postgres)
    finally:
        stopping = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait()
        process.stdout.close()
        measured.add("stop_s", time.monotonic() - stopping)


def _memory_mb(pid: int, kind: str = "Rss") -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"no {kind} of process {pid}")


async def _load(api_url: str, key: str) -> None:
    url = f"{api_url}/rest/v1/customers?select=*&limit=10"

    async def client(count: int) -> None:
        async with httpx.AsyncClient(headers={"apikey": key}) as http:
            for _ in range(count):
                (await http.get(url)).raise_for_status()

    share = LOAD_REQUESTS // LOAD_CLIENTS
    await asyncio.gather(*(client(share) for _ in range(LOAD_CLIENTS)))


async def _databases(measured: Measured, runs: int) -> None:
    config = StackConfig(project_dir=REPOSITORY, template=True)
    async with LocalStack(config) as stack:
        for _ in range(runs):
            started = time.monotonic()
            async with stack.fresh_database() as database:
                connection = await asyncpg.connect(database.url)
                await connection.close()
                measured.add("fresh_database_s", time.monotonic() - started)
            started = time.monotonic()
            await stack.reset_database()
            measured.add("reset_database_s", time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
