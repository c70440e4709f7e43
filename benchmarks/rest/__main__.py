"""Measure single-row reads and writes through the gateway of a local stack.

Run from the repository's root::

    .venv/bin/python -m benchmarks.rest --out benchmarks/results/rest.json

The stack and its PostgreSQL (durable: every commit is flushed to disk) share one core, the client
has another one. Linux only: the cores are set by affinity. A read is one row by its primary key, a
write one inserted row, both by a signed-in user on a table with row level security, with a token
that is verified. Whatever else runs on the machine counts against `per_s` and the latencies: the
load average is written beside them. `per_core_s` does not suffer from that: it is requests per
second of processor time that the stack and PostgreSQL together have used, so what one core does
that nothing else runs on. The targets are compared with it.
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
from urllib.parse import urlsplit

import asyncpg
import uvloop

from benchmarks.rest.client import drive, encode
from local_stack.auth.tokens import TokenIssuer
from local_stack.config import StackConfig
from local_stack.keys import ProjectKeys
from local_stack.stack import LocalStack

TARGETS = {"read": 1000.0, "write": 600.0}
ROWS = 1000
WRITES = 200_000
SCHEMA = f"""
create table public.bench (id bigint primary key, owner text not null, note text);
comment on table public.bench is 'Rows of the benchmark';
alter table public.bench enable row level security;
create policy "own rows" on public.bench to authenticated
    using (owner = (select current_setting('request.jwt.claims', true)::json ->> 'sub'))
    with check (owner = (select current_setting('request.jwt.claims', true)::json ->> 'sub'));
grant select, insert on public.bench to authenticated;
insert into public.bench select i, 'jo', 'note ' || i from generate_series(1, {ROWS}) i;
"""


def main() -> int:
    """Measure, print, write the result; exit status 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if options.serve:
        os.sched_setaffinity(0, cores[:1])
        uvloop.run(serve())  # as `portalctl up` does
        return 0
    # The server's process is started first: affinity is inherited.
    result = asyncio.run(measure(options, cores))
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    met = all(result["figures"][name]["per_core_s"] >= target for name, target in TARGETS.items())
    return 0 if met else 1


async def serve() -> None:
    """Run a stack until standard input ends; print where it is."""
    loop = asyncio.get_running_loop()
    async with LocalStack(StackConfig(data_dir=None, fsync=True)) as stack:
        connection = await asyncpg.connect(stack.database_url)
        await connection.execute(SCHEMA)
        await connection.close()
        keys: ProjectKeys = stack.keys
        token = TokenIssuer(keys).issue({"role": "authenticated", "sub": "jo"}, 3600)
        where = {"url": stack.api_url, "key": keys.publishable, "token": token, "pid": os.getpid()}
        print(json.dumps(where), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


async def measure(options: argparse.Namespace, cores: list[int]) -> dict[str, Any]:
    """Start the server, drive it, stop it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.rest", "--serve"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        where = await process.stdout.readline()
        if not where:
            raise RuntimeError("the server did not start")
        os.sched_setaffinity(0, cores[-1:])
        figures = await load(json.loads(where), options)
    finally:
        process.stdin.close()
        await process.wait()
    return {
        "command": "python -m benchmarks.rest",
        "machine": {"cpus": len(cores), "python": platform.python_version()},
        "cores": {"stack_and_postgres": 1, "client": len(cores) > 1},
        "load_average_at_end": [round(each, 2) for each in os.getloadavg()],
        "seconds": options.seconds,
        "connections": options.connections,
        "figures": figures,
    }


async def load(server: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Run the loads one after another."""
    at = urlsplit(server["url"])
    host, port = str(at.hostname), int(at.port or 80)
    headers = {"apikey": server["key"], "Authorization": f"Bearer {server['token']}"}
    reads = [
        encode("GET", f"/rest/v1/bench?id=eq.{row}&select=id,owner,note", host, headers)
        for row in range(1, ROWS + 1)
    ]
    writes = [
        encode(
            "POST",
            "/rest/v1/bench",
            host,
            {**headers, "Prefer": "return=minimal"},
            json.dumps({"id": row, "owner": "jo", "note": "new"}).encode(),
        )
        for row in range(ROWS + 1, ROWS + WRITES)
    ]
    await drive(host, port, reads, 200, options.connections, 1.0)
    many, seconds = options.connections, options.seconds
    loads = {
        "read": (reads, 200, many, seconds),
        "write": (writes, 201, many, seconds),
        "read_one_at_a_time": (reads, 200, 1, seconds / 2),
    }
    result: dict[str, Any] = {}
    for name, (requests, expected, connections, length_s) in loads.items():
        used_s = processor_s(server["pid"])
        figures = (await drive(host, port, requests, expected, connections, length_s)).figures()
        used_s = processor_s(server["pid"]) - used_s
        figures["per_core_s"] = round(figures["requests"] / used_s, 1)
        if name in TARGETS:
            figures["target_per_core_s"] = TARGETS[name]
        result[name] = figures
    return result


def processor_s(root: int) -> float:
    """Return the processor time of a process and all below it, in seconds."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(file.parent.name)
        parents[pid] = int(fields[1])
        # Own time and that of children which have ended.
        ticks[pid] = sum(int(each) for each in fields[11:15])
    return sum(
        ticks[pid] for pid in ticks if pid == root or _is_below(pid, root, parents)
    ) / os.sysconf("SC_CLK_TCK")


def _is_below(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == root:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
