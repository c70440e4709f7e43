"""The service's memory over 100,000 mixed requests."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from benchmarks.service.load import Member, Seen
from benchmarks.service.processes import resident_bytes
from benchmarks.service.world import World

MARKS = (1_000, 10_000, 25_000, 50_000, 75_000, 100_000)


async def memory(world: World) -> dict[str, Any]:
    """Send requests flat out and return the resident memory at the marks, in MB."""
    seen = Seen()
    members = [Member(world, number) for number in range(len(world.tokens))]
    started = time.perf_counter()
    resident: dict[str, float] = {}

    async def work(member: Member, mark: int) -> None:
        while len(seen.reads_s) + len(seen.writes_s) < mark:
            await member.send(seen)

    for mark in MARKS:
        await asyncio.gather(*(work(member, mark) for member in members))
        resident[str(mark)] = round(resident_bytes(world.service_pid) / 1e6, 1)
        print(f"{mark} requests: {resident[str(mark)]} MB", file=sys.stderr)
    for member in members:
        member.connection.close()
    return {
        "requests": len(seen.reads_s) + len(seen.writes_s),
        "requests_per_s": round(MARKS[-1] / (time.perf_counter() - started), 1),
        "resident_mb": resident,
    }
