"""Measure the Realtime server: latency of changes, fan-out of broadcasts, memory of idle sockets.

``python -m benchmarks.realtime`` prints the results and writes results.json and RESULTS.md here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import psutil  # type: ignore[import-untyped]
import uvloop

from benchmarks.realtime.client import FrameClient, connect, join
from benchmarks.realtime.serve import make_user

HERE = Path(__file__).parent
TARGETS = {
    "changes_1": ("p50_ms", 2.0, "p99_ms", 10.0),
    "fan_out": ("deliveries_per_s", 20_000.0),
    "idle": ("rss_growth_mb", 60.0),
}
FAST_PER_S = 400
SCHEMA = """
create table items (id int primary key, owner uuid not null, note text);
alter table items enable row level security;
create policy own on items for select to authenticated using ((select auth.uid()) = owner);
grant select on items to authenticated;
alter publication supabase_realtime add table items;
"""


@contextmanager
def server() -> Iterator[dict[str, Any]]:
    """Run the server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.realtime.serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=HERE.parents[1],
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(timeout=30)


def quantiles(samples_s: list[float]) -> dict[str, float]:
    """Return p50, p95, p99 and the largest, in milliseconds."""
    ordered = sorted(samples_s)
    return {
        f"{name}_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 3)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
    }


async def paced(client: FrameClient, count: int, rate: float, write: Any) -> list[float]:
    """Commit at a steady rate; return the times from the end of each commit to its frame.

    A frame that comes before the commit has returned counts as 0.
    """
    loop = asyncio.get_running_loop()
    arrived: dict[int, float] = {}
    everything = asyncio.Event()

    def take(data: bytes) -> None:
        _, found, rest = data.partition(b"note-")
        if found:
            arrived[int(rest.partition(b'"')[0])] = time.perf_counter()
        if len(arrived) == count:
            everything.set()

    client.wanted = take
    committed: list[float] = []
    started = loop.time()
    for number in range(count):
        await asyncio.sleep(max(0.0, started + number / rate - loop.time()))
        await write(number)
        committed.append(time.perf_counter())
    await asyncio.wait_for(everything.wait(), 30)
    client.wanted = None
    return [max(0.0, arrived[number] - moment) for number, moment in enumerate(committed)]


async def measure_changes(ready: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Commit → frame at 50 changes per second: one subscriber, then 100 more users; then faster."""
    db = await asyncpg.connect(ready["database_url"])
    await db.execute(SCHEMA)
    ids = iter(range(10_000_000))
    config = {"postgres_changes": [{"event": "*", "schema": "public", "table": "items"}]}
    client = await connect(ready["port"], ready["anon"])
    await join(client, "realtime:changes", config, ready["tokens"][0])

    async def insert(number: int) -> None:
        row = (next(ids), make_user(0), f"note-{number}")
        await db.execute("insert into items values ($1, $2, $3)", *row)

    async def send(number: int) -> None:
        await db.execute(
            "select realtime.send(jsonb_build_object('n', $1::text), 'e', 'room', false)",
            f"note-{number}",
        )

    count = int(seconds * 50)
    await paced(client, 50, 50, insert)  # warms plans and caches
    results: dict[str, Any] = {}
    results["changes_1"] = quantiles(await paced(client, count, 50, insert))
    others = []
    for token in ready["tokens"][1:]:
        other = await connect(ready["port"], ready["anon"])
        await join(other, "realtime:changes", config, token)
        others.append(other)
    results["changes_101"] = quantiles(await paced(client, count, 50, insert))
    results["changes_101_fast"] = quantiles(await paced(client, count * 6, FAST_PER_S, insert))
    leaked = sum(other.count for other in others)
    if leaked:
        raise RuntimeError(f"{leaked} changes reached users who may not see them")
    for other in others:
        other.transport.abort()
    room = await connect(ready["port"], ready["anon"])
    await join(room, "realtime:room", {})
    results["sql_broadcast"] = quantiles(await paced(room, count, 50, send))
    for each in (client, room):
        each.transport.abort()
    await db.close()
    return results


async def measure_fan_out(ready: dict[str, Any], sockets: int, messages: int) -> dict[str, Any]:
    """One client broadcasts to many; deliveries per second until the last one has arrived."""
    receivers = []
    for _ in range(sockets):
        receiver = await connect(ready["port"], ready["anon"])
        await join(receiver, "realtime:fan", {})
        receivers.append(receiver)
    sender = await connect(ready["port"], ready["anon"])
    await join(sender, "realtime:fan", {})
    cpu = psutil.Process(ready["pid"])
    runs = []
    for _ in range(5):
        for receiver in receivers:
            receiver.count = 0
        busy_before, started = sum(cpu.cpu_times()[:2]), time.perf_counter()
        for number in range(messages):
            sender.send(
                {
                    "topic": "realtime:fan",
                    "event": "broadcast",
                    "ref": None,
                    "payload": {"type": "broadcast", "event": "e", "payload": {"n": number}},
                }
            )
        for receiver in receivers:
            await receiver.reached(messages)
        elapsed_s = time.perf_counter() - started
        busy_s = sum(cpu.cpu_times()[:2]) - busy_before
        runs.append((sockets * messages / elapsed_s, busy_s / (sockets * messages) * 1e6))
    for receiver in (*receivers, sender):
        receiver.transport.abort()
    runs.sort()
    return {
        "sockets": sockets,
        "messages": messages,
        "deliveries_per_s": round(runs[len(runs) // 2][0]),
        "slowest_run_per_s": round(runs[0][0]),
        "server_cpu_us_per_delivery": round(runs[len(runs) // 2][1], 1),
    }


async def measure_idle(ready: dict[str, Any], sockets: int) -> dict[str, Any]:
    """Growth of the server's resident memory with sockets that have joined one channel each."""
    process = psutil.Process(ready["pid"])
    warm = [await connect(ready["port"], ready["anon"]) for _ in range(20)]
    for number, client in enumerate(warm):
        await join(client, f"realtime:warm{number}", {}, ready["tokens"][number])
    before = process.memory_info().rss
    clients = []
    for number in range(sockets):
        client = await connect(ready["port"], ready["anon"])
        await join(client, f"realtime:idle{number % 100}", {}, ready["tokens"][number % 100])
        clients.append(client)
    await asyncio.sleep(1)
    grown = process.memory_info().rss - before
    for client in (*clients, *warm):
        client.transport.abort()
    return {
        "sockets": sockets,
        "rss_growth_mb": round(grown / 1e6, 1),
        "kb_per_socket": round(grown / sockets / 1e3, 1),
        "rss_before_mb": round(before / 1e6, 1),
    }


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run everything against one server after the other, so that none disturbs another."""
    results: dict[str, Any] = {}
    with server() as ready:
        results.update(await measure_changes(ready, arguments.seconds))
    with server() as ready:
        results["fan_out"] = await measure_fan_out(ready, 500, arguments.messages)
    with server() as ready:
        results["idle"] = await measure_idle(ready, 1_000)
    return results


def describe_machine() -> dict[str, Any]:
    """Return what a reader needs to judge the numbers."""
    load = os.getloadavg()
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "load_average_before": [round(value, 1) for value in load],
        "python": platform.python_version(),
        "system": platform.system(),
    }


def render(report: dict[str, Any]) -> str:
    """Return RESULTS.md."""
    r, machine = report["results"], report["machine"]
    load = machine["load_average_before"][0]

    def latency(name: str) -> str:
        q = r[name]
        return f"{q['p50_ms']} ms | {q['p99_ms']} ms | {q['max_ms']} ms"

    fan, idle = r["fan_out"], r["idle"]
    return f"""# Realtime: measured

`python -m benchmarks.realtime` on {machine["cpus"]} cores, Python {machine["python"]}, \
{machine["time"]}. Load average before the run: {load} (other programs were running when it is \
far above 0). Server, PostgreSQL and clients share the machine.

| commit → frame, 50 per second | p50 | p99 | largest |
|---|---|---|---|
| postgres_changes with RLS, one subscriber (target 2 / 10 ms) | {latency("changes_1")} |
| the same with 100 more users, who may not see the row | {latency("changes_101")} |
| the same at {FAST_PER_S} per second | {latency("changes_101_fast")} |
| `realtime.send` | {latency("sql_broadcast")} |

| | measured | target |
|---|---|---|
| broadcast to {fan["sockets"]} sockets, deliveries per second (median of 5) \
| {fan["deliveries_per_s"]:,} | 20,000 |
| … slowest of 5 | {fan["slowest_run_per_s"]:,} | |
| … server CPU per delivery | {fan["server_cpu_us_per_delivery"]} µs | |
| memory of {idle["sockets"]:,} idle sockets, one channel each \
| {idle["rss_growth_mb"]} MB | 60 MB |
"""


def main() -> None:
    """Measure and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="length of each latency run")
    parser.add_argument("--messages", type=int, default=200, help="messages of each fan-out run")
    parser.add_argument("--no-write", action="store_true", help="only print")
    parser.add_argument("--out", type=Path, help="write the numbers there instead, and no page")
    arguments = parser.parse_args()
    machine = describe_machine()
    report = {"machine": machine, "results": uvloop.run(measure(arguments))}
    text = render(report)
    print(text)
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    elif not arguments.no_write:
        (HERE / "results.json").write_text(json.dumps(report, indent=2) + "\n")
        (HERE / "RESULTS.md").write_text(text)


if __name__ == "__main__":
    main()
