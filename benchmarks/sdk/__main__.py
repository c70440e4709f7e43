"""Latency, recovery, snapshot, memory and idle cost of the client library on a local stack.

Run: python -m benchmarks.sdk [--quick]      Writes benchmarks/results/sdk.json.
The stack, the writers and all portals share this machine; the stack is a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import platform
import statistics
import sys
import time
import tracemalloc
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.sdk import store
from local_stack import LocalStack, StackConfig
from portal_sdk import PasswordAuth, Portal
from portal_sdk._runtime import http as portal_http

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "sdk.json"
PASSWORD = "portal-demo"
ANY_JOB = "select id from jobs where customer_id = $1 and deleted_at is null limit 1"


@asynccontextmanager
async def served() -> AsyncIterator[dict[str, str]]:
    """Run the stack in another process; yield its environment."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.sdk", "--serve", cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield {**json.loads(await process.stdout.readline()), "pid": str(process.pid)}
    finally:
        process.stdin.close()
        await process.wait()


async def serve() -> None:
    async with LocalStack(StackConfig(project_dir=REPOSITORY, log_level="warning")) as stack:
        print(json.dumps(stack.env()), flush=True)
        await asyncio.to_thread(sys.stdin.read)


def email(number: int) -> str:
    return f"customer{number:03d}@example.com"


def customer(number: int) -> uuid.UUID:
    return uuid.UUID(f"c0000000-0000-4000-8000-{number:012d}")


def portal(env: dict[str, str], number: int, **settings: Any) -> Portal:
    auth = PasswordAuth(email(number), PASSWORD)
    return Portal(env["SUPABASE_URL"], env["SUPABASE_PUBLISHABLE_KEY"], auth=auth, **settings)


def percentiles(values_ms: list[float]) -> dict[str, float]:
    ordered = sorted(values_ms)
    pick = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)]
    found = {name: round(ordered[int(len(ordered) * at)], 2) for name, at in pick}
    return {**found, "max": round(ordered[-1], 2), "count": len(ordered)}


async def latency(env: dict[str, str], *, portals: int, per_s: float, seconds: float) -> Any:
    """Commit to callback; a writer process times each commit when its statement returns."""
    arrived: dict[str, list[float]] = {}

    async def heard(job: Any, _previous: Any) -> None:
        arrived.setdefault(job.title, []).append(time.perf_counter())

    numbers = [number % 50 + 1 for number in range(portals)]  # several devices for some customers
    async with AsyncExitStack() as stack:
        opened = [portal(env, n) for n in numbers]
        for one in opened:
            stack.push_async_callback(one.close)
            one.jobs.on_update(heard)
        await _sign_in(opened)
        jobs = [str(next(iter(one.jobs)).id) for one in opened]
        writes = int(per_s * seconds)
        cpu = time.process_time(), _stack_cpu_s(env)
        report = await _write(env, [jobs[i % len(jobs)] for i in range(writes)], per_s, seconds)
        await asyncio.sleep(1)
        cpu = time.process_time() - cpu[0], _stack_cpu_s(env) - cpu[1]
    committed = report["committed"]
    waits = [
        (at - committed[t]) * 1e3 for t, times in arrived.items() if t in committed for at in times
    ]
    devices = {n: numbers.count(n) for n in set(numbers)}
    expected = sum(devices[numbers[index % len(numbers)]] for index in range(writes))
    return {
        "portals": portals, "writes_per_s": per_s, "latency_ms": percentiles(waits),
        "missing": expected - len(waits), "portals_cpu_share": round(cpu[0] / (seconds + 1), 3),
        "stack_cpu_share": round(cpu[1] / (seconds + 1), 3),
        "writer_latest_start_ms": report["latest_start_ms"], "load": os.getloadavg()[0],
    }  # fmt: skip


async def _write(env: dict[str, str], jobs: list[str], per_s: float, seconds: float) -> Any:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.sdk.writer", env["SUPABASE_DB_URL"],
        str(per_s), str(seconds), uuid.uuid4().hex[:6], cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate(json.dumps(jobs).encode())
    return json.loads(output)


def _stack_cpu_s(env: dict[str, str]) -> float:
    """CPU seconds of the stack and its PostgreSQL processes that still run."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                parents[int(folder.name)] = int(fields[1])
                ticks[int(folder.name)] = int(fields[11]) + int(fields[12])
    family = {int(env["pid"])}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(ticks.get(pid, 0) for pid in family) / os.sysconf("SC_CLK_TCK")


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
    database = await asyncpg.connect(env["SUPABASE_DB_URL"])
    await database.execute(
        "insert into jobs (customer_id, title)"
        " select $1, 'bulk ' || i from generate_series(1, $2) i",
        customer(9), rows,
    )  # fmt: skip
    await database.close()
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
    here = snapshot.filter_traces([tracemalloc.Filter(True, portal_http.__file__)])
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


async def main(*, is_quick: bool) -> None:
    result: dict[str, Any] = {
        "python": platform.python_version(), "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0], "niceness": os.nice(0), "store": store.run(),
    }  # fmt: skip
    seconds = 5.0 if is_quick else 20.0
    async with served() as env:
        steps = {
            "latency_1": latency(env, portals=1, per_s=20, seconds=seconds),
            "latency_100": latency(env, portals=100, per_s=100, seconds=seconds),
            "reconnect_0": reconnect(env, 0),
            "reconnect_100": reconnect(env, 100),
            "reconnect_10000": reconnect(env, 10_000),
            "sign_in_100": sign_in(env, 100),
            "idle": idle(env, 50, 10.0),
            "snapshot": snapshot(env, 10_000),
        }
        for name, step in steps.items():
            result[name] = await step
            print(name, json.dumps(result[name]), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(serve() if "--serve" in sys.argv else main(is_quick="--quick" in sys.argv))
