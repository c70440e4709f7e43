"""Latency, recovery, snapshot, memory and idle cost of the client library on a local stack.

Run: python -m benchmarks.sdk [--quick] [--only latency_100]     Writes benchmarks/results/sdk.json.
The stack, the writers and all portals share this machine; the stack is `portalctl up`. With
``--only`` (it may be given several times) the other parts of the result file stay as they are.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import inspect
import json
import os
import platform
import statistics
import sys
import time
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.sdk import store
from benchmarks.sdk.blocks import blocks
from benchmarks.sdk.logins import give_logins
from benchmarks.sdk.machine import processor_s_of_family, stolen_s
from benchmarks.sdk.metronome import is_disturbed
from local_stack.collector import settle_collector
from portal_sdk import PasswordAuth, Portal
from portal_sdk._core import snapshot as portal_snapshot
from portal_sdk._runtime import http as portal_http

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "sdk.json"
PASSWORD = "portal-demo"


@asynccontextmanager
async def served() -> AsyncIterator[dict[str, str]]:
    """Run the stack as its users do; yield its environment and the number of its process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "portalctl", "up", "--ephemeral", "--json", "--port", "0",
        "--db-port", "0", "--log-level", "warning", cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        announced = json.loads(await process.stdout.readline())
        yield {**announced["env"], "pid": str(process.pid)}
    finally:
        process.terminate()
        await process.wait()


def email(number: int) -> str:
    return f"customer{number:03d}@example.com"


def customer(number: int) -> uuid.UUID:
    return uuid.UUID(f"c0000000-0000-4000-8000-{number:012d}")


def portal(env: dict[str, str], number: int, **settings: Any) -> Portal:
    auth = PasswordAuth(email(number), PASSWORD)
    return Portal(env["SUPABASE_URL"], env["SUPABASE_PUBLISHABLE_KEY"], auth=auth, **settings)


def percentiles(waits: list[tuple[float, float]]) -> dict[str, float]:
    ordered = sorted((end - start) * 1e3 for start, end in waits)
    pick = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)]
    found = {name: round(ordered[int(len(ordered) * at)], 2) for name, at in pick}
    return {**found, "max": round(ordered[-1], 2), "count": len(ordered)}


async def latency(
    env: dict[str, str], *, portals: int, customers: int, per_s: float, seconds: float
) -> Any:
    """Commit to callback; a writer process times each commit when its statement returns.

    Each write goes to one customer, by turns, and to all portals of that customer.
    """
    await give_logins(env["SUPABASE_DB_URL"], customers)
    arrived: dict[str, list[float]] = {}

    async def heard(job: Any, _previous: Any) -> None:
        arrived.setdefault(job.title, []).append(time.perf_counter())

    numbers = [number % customers + 1 for number in range(portals)]
    async with AsyncExitStack() as stack:
        opened = [portal(env, n) for n in numbers]
        for one in opened:
            stack.push_async_callback(one.close)
            one.jobs.on_update(heard)
        await _sign_in(opened)
        jobs = [str(next(iter(one.jobs)).id) for one in opened]
        writes = int(per_s * seconds)
        settle_collector()  # a hundred programs in one: each would have little to look through
        cpu = time.process_time(), processor_s_of_family(int(env["pid"]))
        stolen = stolen_s()
        watching = asyncio.create_task(_run("benchmarks.sdk.metronome", str(seconds + 1)))
        report = await _write(env, [jobs[i % len(jobs)] for i in range(writes)], per_s, seconds)
        slow = await watching
        stolen = stolen_s() - stolen
        cpu = time.process_time() - cpu[0], processor_s_of_family(int(env["pid"])) - cpu[1]
    committed = report["committed"]
    waits = [(committed[t], at) for t, times in arrived.items() if t in committed for at in times]
    even = [wait for wait in waits if not is_disturbed(wait, slow["moments"])]
    devices = {n: numbers.count(n) for n in set(numbers)}
    expected = sum(devices[numbers[index % len(numbers)]] for index in range(writes))
    return {
        "portals": portals, "customers": customers, "writes_per_s": per_s,
        "latency_ms": percentiles(waits),
        "machine_slow_share": slow["share"], "latency_while_even_ms": percentiles(even),
        "missing": expected - len(waits), "portals_cpu_share": round(cpu[0] / (seconds + 1), 3),
        "stack_cpu_share": round(cpu[1] / (seconds + 1), 3),
        "writer_latest_start_ms": report["latest_start_ms"], "stolen_ms": round(stolen * 1e3),
        "load": os.getloadavg()[0],
    }  # fmt: skip


async def middle_run(env: dict[str, str], **settings: Any) -> Any:
    """Of three runs the one whose p99 is neither the best nor the worst; the p99 of all."""
    runs = [await latency(env, **settings) for _ in range(3)]
    runs.sort(key=lambda run: run["latency_ms"]["p99"])
    return {**runs[1], "p99_ms_of_runs": [run["latency_ms"]["p99"] for run in runs]}


async def _write(env: dict[str, str], jobs: list[str], per_s: float, seconds: float) -> Any:
    arguments = (env["SUPABASE_DB_URL"], str(per_s), str(seconds), uuid.uuid4().hex[:6])
    return await _run("benchmarks.sdk.writer", *arguments, given=jobs)


async def _run(module: str, *arguments: str, given: Any = None) -> Any:
    """Run a module in a process of its own; it reads and prints JSON."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate(json.dumps(given).encode())
    return json.loads(output)


async def reconnect(env: dict[str, str], missed: int) -> Any:
    """From resume to live with everything missed applied; median of three."""
    took = []
    database = await asyncpg.connect(env["SUPABASE_DB_URL"])
    async with portal(env, 7) as one:
        await one.ready(timeout_s=30)
        job = await database.fetchval(
            "select id from jobs where customer_id = $1 limit 1", customer(7)
        )
        for round_ in range(3):
            one.pause()
            await _until(one, "offline")
            titles = [f"{round_}-{missed}-{index}" for index in range(missed)]
            await _commit_each(env, job, titles)
            started = time.perf_counter()
            one.resume()
            await one.ready(timeout_s=60)
            took.append((time.perf_counter() - started) * 1e3)
            if missed:
                assert one.jobs[job].title == f"{round_}-{missed}-{missed - 1}"
    await database.close()
    return {"missed": missed, "ms": round(statistics.median(took), 1)}


async def _commit_each(env: dict[str, str], job: uuid.UUID, titles: list[str]) -> None:
    """Update a job once per transaction, over four connections; the last title comes last."""
    update = "update jobs set title = $2 where id = $1"
    async with asyncpg.create_pool(env["SUPABASE_DB_URL"], min_size=4, max_size=4) as pool:
        gate = asyncio.Semaphore(4)

        async def write(title: str) -> None:
            async with gate:
                await pool.execute(update, job, title)

        await asyncio.gather(*(write(title) for title in titles[:-1]))
        for title in titles[-1:]:
            await write(title)


async def snapshot(env: dict[str, str], rows: int) -> Any:
    """From entering a portal without a store to live, with so many rows; median of three."""
    await _fill(env, 9, rows)
    took, count = [], 0
    for _ in range(3):
        started = time.perf_counter()
        async with portal(env, 9) as one:
            await one.ready(timeout_s=60)
            took.append(time.perf_counter() - started)
            count = len(one.jobs)
    return {
        "rows": count, "s": round(statistics.median(took), 3), "slowest_s": round(max(took), 3),
    }  # fmt: skip


async def _fill(env: dict[str, str], number: int, rows: int) -> None:
    database = await asyncpg.connect(env["SUPABASE_DB_URL"])
    await database.execute(
        "insert into jobs (customer_id, title)"
        " select $1, 'bulk ' || i from generate_series(1, $2) i",
        customer(number), rows,
    )  # fmt: skip
    await database.close()


async def long_blocks(env: dict[str, str], number: int, rows: int) -> Any:
    """See benchmarks/sdk/blocks.py."""
    await _fill(env, number, rows)
    return await blocks(env, functools.partial(portal, env, number), rows)


async def idle(env: dict[str, str], count: int, seconds: float) -> Any:
    """Own memory and CPU of each additional portal that has nothing to do."""
    async with AsyncExitStack() as stack:
        async with portal(env, 50) as warm:
            await warm.ready(timeout_s=30)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        rows_before = _traced_bytes_of_answers()
        resident = _resident_bytes()
        opened = [portal(env, n % 50 + 1) for n in range(count)]
        for one in opened:
            stack.push_async_callback(one.close)
        await _sign_in(opened)
        rows = sum(len(table) for one in opened for table in one._core.replica.tables.values())
        await asyncio.sleep(1)
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0] - before
        in_rows = _traced_bytes_of_answers() - rows_before
        tracemalloc.stop()
        resident = _resident_bytes() - resident
        cpu = time.process_time()
        await asyncio.sleep(seconds)
        cpu = time.process_time() - cpu
        return {
            "portals": count, "rows_each": round(rows / count, 1),
            "own_kib_each": round((traced - in_rows) / count / 1024, 1),
            "heap_kib_each": round(traced / count / 1024, 1),
            "resident_kib_each": round(resident / count / 1024, 1),
            "cpu_percent_each": round(cpu / seconds / count * 100, 4),
        }  # fmt: skip


def _traced_bytes_of_answers() -> int:
    """Return what the decoded answers hold: the rows, which every portal must have."""
    snapshot = tracemalloc.take_snapshot()
    decoding = [
        tracemalloc.Filter(True, str(module.__file__), number)
        for module in (portal_http, portal_snapshot)
        for number, line in enumerate(inspect.getsourcelines(module)[0], 1)
        if "from_json(" in line
    ]
    here = snapshot.filter_traces(decoding)
    return sum(trace.size for trace in here.traces)


async def sign_in(env: dict[str, str], count: int) -> Any:
    """So many portals signed in at the same moment: until the last one is live."""
    opened = [portal(env, n % 50 + 1) for n in range(count)]
    async with AsyncExitStack() as stack:
        started = time.perf_counter()
        for one in opened:
            stack.push_async_callback(one.close)
            await one.__aenter__()
        await asyncio.gather(*(one.ready(timeout_s=120) for one in opened))
        return {"portals": count, "s": round(time.perf_counter() - started, 2)}


async def _sign_in(portals: list[Portal]) -> None:
    """Enter all and wait; a few at a time, for the auth server hashes each password."""
    gate = asyncio.Semaphore(4)

    async def enter(one: Portal) -> None:
        async with gate:
            await one.__aenter__()
            await one.ready(timeout_s=60)

    await asyncio.gather(*(enter(one) for one in portals))


async def _until(one: Portal, state: str) -> None:
    stream = one.statuses()
    while one.status.state != state:
        await anext(stream)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def measure(earlier: dict[str, Any], *, is_quick: bool, only: list[str]) -> dict[str, Any]:
    result = earlier | {
        "python": platform.python_version(), "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0], "niceness": os.nice(0),
    }  # fmt: skip
    if not only or "store" in only:
        result["store"] = store.run()
    seconds = 5.0 if is_quick else 20.0
    async with served() as env:
        steps: dict[str, Callable[[], Awaitable[Any]]] = {
            "latency_1": lambda: latency(env, portals=1, customers=1, per_s=20, seconds=seconds),
            "latency_100": lambda: middle_run(
                env, portals=100, customers=100, per_s=100, seconds=seconds
            ),
            "latency_100_pairs": lambda: middle_run(
                env, portals=100, customers=50, per_s=100, seconds=seconds
            ),
            "reconnect_0": lambda: reconnect(env, 0),
            "reconnect_100": lambda: reconnect(env, 100),
            "reconnect_10000": lambda: reconnect(env, 10_000),
            "sign_in_100": lambda: sign_in(env, 100),
            "idle": lambda: idle(env, 50, 10.0),
            "snapshot": lambda: snapshot(env, 10_000),
            "blocks_10000": lambda: long_blocks(env, 10, 10_000),
            "blocks_100000": lambda: long_blocks(env, 11, 100_000),
        }
        for name in [name for name in steps if not only or name in only]:
            result[name] = await steps[name]()
            print(name, json.dumps(result[name]), flush=True)
    return result


def main() -> None:
    """Parse the command line, measure, print, save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sdk", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5 s of latency instead of 20")
    parser.add_argument("--only", action="append", default=[], help="a part, such as latency_100")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the result file")
    options = parser.parse_args()
    out: Path = options.out
    earlier = json.loads(out.read_text()) if options.only and out.exists() else {}
    result = asyncio.run(measure(earlier, is_quick=options.quick, only=options.only))
    out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
