"""Write throughput with pgbench, with the change feed and without it."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.database.dataset import Connection
from local_stack.postgres.binaries import wheel_install

FEED_TABLES = ("customers", "jobs", "invoices", "messages", "loyalty_transactions")
CLIENTS = 16
_CUSTOMER = "('c0000000-0000-4000-8000-' || lpad(:c::text, 12, '0'))::uuid"
SCRIPTS = {
    "insert a message": (
        "\\set c random(1, {customers})\n"
        f"insert into messages (customer_id, body) values ({_CUSTOMER}, 'hello');\n"
    ),
    # Job k * 20000 + c - 1 belongs to customer c; a random one of ten.
    "update a job": (
        "\\set c random(1, {customers})\n\\set k random(1, 9)\n\\set j :k * 20000 + :c - 1\n"
        "update jobs set title = 'x' || random() "
        "where id = ('d0000000-0000-4000-8000-' || lpad(:j::text, 12, '0'))::uuid;\n"
    ),
}


@dataclass(frozen=True, slots=True)
class Load:
    """One way of writing."""

    script: str
    customers: int
    seconds: int
    rounds: int


async def set_feed(owner: Connection, *, on: bool) -> None:
    """Put the feed's triggers to sleep, or wake them."""
    for table in FEED_TABLES:
        for verb in ("insert", "update", "delete"):
            word = "enable" if on else "disable"
            await owner.execute(f"alter table {table} {word} trigger feed_{verb}")


def run_pgbench(url: str, load: Load) -> float:
    """Return transactions per second.

    Raises:
        RuntimeError: pgbench failed or aborted clients.
    """
    program = wheel_install("18") / "bin" / "pgbench"
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.sql"
        script.write_text(SCRIPTS[load.script].format(customers=load.customers), encoding="utf-8")
        command = [
            *(str(program), "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2"),
            *("-T", str(load.seconds), "-f", str(script), url),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if done.returncode != 0 or found is None or "aborted" in done.stderr:
        raise RuntimeError(f"pgbench failed: {done.stderr.strip()[-500:]}")
    return float(found[1])


async def set_staff_ring(owner: Connection, *, on: bool) -> None:
    """Put the doorbell of the staff's views to sleep, or wake it."""
    word = "enable" if on else "disable"
    await owner.execute(f"alter table activity_log {word} trigger ring_staff")


async def measure_staff_ring(owner: Connection, url: str, load: Load) -> dict[str, float]:
    """What the staff's doorbell costs on top of everything else, in turns."""
    ringing: list[float] = []
    silent: list[float] = []
    try:
        for _ in range(load.rounds):
            await set_staff_ring(owner, on=False)
            silent.append(run_pgbench(url, load))
            await set_staff_ring(owner, on=True)
            ringing.append(run_pgbench(url, load))
    finally:
        await set_staff_ring(owner, on=True)
    fast, slow = statistics.median(silent), statistics.median(ringing)
    return {
        "silent_tps": round(fast),
        "ringing_tps": round(slow),
        "cost_percent": round((1 - slow / fast) * 100, 1),
    }


async def measure_feed(owner: Connection, url: str, load: Load) -> dict[str, float]:
    """Alternate rounds with and without the feed; return medians and the share it costs."""
    with_feed: list[float] = []
    without: list[float] = []
    try:
        for _ in range(load.rounds):
            await set_feed(owner, on=False)
            without.append(run_pgbench(url, load))
            await set_feed(owner, on=True)
            with_feed.append(run_pgbench(url, load))
    finally:
        await set_feed(owner, on=True)
    fast, slow = statistics.median(without), statistics.median(with_feed)
    return {
        "without_feed_tps": round(fast),
        "with_feed_tps": round(slow),
        "cost_percent": round((1 - slow / fast) * 100, 1),
    }
