"""A hundred members of staff at once: seven reads to three writes.

`paced`: each member starts requests at random moments, all together `offered_per_s`. A latency runs
from the moment that was drawn, so that a request which had to wait for the one before counts with
its wait. `flat_out`: each member sends the next request as soon as the answer is there; that gives
the most the machine does, and a latency that follows from it (members / requests per second).
Before either, each member has sent some requests that do not count. Beside `paced`, a metronome
notes when the machine itself is slow.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from benchmarks.sdk.metronome import is_disturbed
from benchmarks.service.client import Connection
from benchmarks.service.figures import quantiles_ms
from benchmarks.service.world import World

READ_SHARE = 0.7
_WARM_UP = 5


@dataclass
class Seen:
    """What one load saw; times in seconds."""

    reads_s: list[float] = field(default_factory=list)
    writes_s: list[float] = field(default_factory=list)
    by_kind_s: dict[str, list[float]] = field(default_factory=dict)
    spans: list[tuple[float, float]] = field(default_factory=list)
    late: int = 0


class Member:
    """One member of staff at work; what it does next is drawn from its own seeded chance."""

    def __init__(self, world: World, number: int) -> None:
        self.connection: Connection = world.service(number)
        self.chance = random.Random(number)
        self._customers = world.customers

    def draw(self) -> tuple[str, bytes, int]:
        """Return the kind of the next request, its bytes, and the status it must have."""
        chance, encode = self.chance, self.connection.encode
        customer = chance.choice(self._customers)
        if chance.random() < READ_SHARE:
            kind = chance.random()
            if kind < 0.5:
                return "get_customer", encode("GET", f"/v1/customers/{customer}"), 200
            if kind < 0.7:
                return "jobs_of_customer", encode("GET", f"/v1/jobs?customer_id={customer}"), 200
            if kind < 0.9:
                path = f"/v1/messages?customer_id={customer}&limit=20"
                return "thread", encode("GET", path), 200
            return "list_customers", encode("GET", "/v1/customers"), 200
        kind = chance.random()
        # The client's own id, as the typed client sends it: repeating would be safe.
        new_id = UUID(int=chance.getrandbits(128), version=4)
        if kind < 0.5:
            body = f'{{"id":"{new_id}","customer_id":"{customer}","body":"We are on our way."}}'
            return "send_message", encode("POST", "/v1/messages", body.encode()), 201
        if kind < 0.75:
            body = f'{{"phone":"+49 30 {chance.randrange(10**7)}"}}'
            path, headers = f"/v1/customers/{customer}", {"If-Match": "*"}
            return "change_customer", encode("PATCH", path, body.encode(), headers), 200
        body = f'{{"id":"{new_id}","customer_id":"{customer}","title":"Boiler service"}}'
        return "create_job", encode("POST", "/v1/jobs", body.encode()), 201

    async def send(self, seen: Seen, since: float | None = None) -> None:
        """Send one request and note how long it took, since a moment or since now."""
        kind, request, expected = self.draw()
        started = time.perf_counter() if since is None else since
        status, _, body = await self.connection.exchange(request)
        took_s = time.perf_counter() - started
        if status != expected:
            raise RuntimeError(f"{kind}: {status} {body.decode()[:500]}")
        reads = request.startswith(b"GET")
        (seen.reads_s if reads else seen.writes_s).append(took_s)
        seen.by_kind_s.setdefault(kind, []).append(took_s)
        seen.spans.append((started, started + took_s))


async def flat_out(world: World, seconds: float) -> dict[str, Any]:
    """Let every member send without pauses."""

    async def work(member: Member, seen: Seen, begin: float) -> None:
        while time.perf_counter() < begin + seconds:
            await member.send(seen)

    _, found = await _run(world, work)
    return found


async def paced(world: World, seconds: float, offered_per_s: float) -> dict[str, Any]:
    """Let every member start requests at random moments."""
    per_member = offered_per_s / len(world.tokens)

    async def work(member: Member, seen: Seen, begin: float) -> None:
        due = begin
        while (due := due + member.chance.expovariate(per_member)) < begin + seconds:
            wait_s = due - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            await member.send(seen, due)

    watching = asyncio.create_task(_watch_machine(seconds + 1))
    seen, found = await _run(world, work)
    slow = await watching
    even_s = [
        end - start for start, end in seen.spans if not is_disturbed((start, end), slow["moments"])
    ]
    return {
        "offered_per_s": offered_per_s,
        **found,
        "machine_slow_share": slow["share"],
        "while_even_ms": quantiles_ms(even_s),
        "while_even_share": round(len(even_s) / len(seen.spans), 3),
    }


async def _watch_machine(seconds: float) -> Any:
    """Note in a process of its own when the machine itself is slow (see the metronome)."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.sdk.metronome", str(seconds)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return json.loads(output)


async def _warm_up(member: Member) -> None:
    """Connect, sign in, and let every connection to the database prepare its statements."""
    for _ in range(_WARM_UP):
        await member.send(Seen())


async def _run(world: World, work: Any) -> tuple[Seen, dict[str, Any]]:
    members = [Member(world, number) for number in range(len(world.tokens))]
    await asyncio.gather(*(_warm_up(member) for member in members))
    seen = Seen()
    used = world.used_s()
    started = time.perf_counter()
    await asyncio.gather(*(work(member, seen, started) for member in members))
    elapsed_s = time.perf_counter() - started
    spent = {name: time_s - used[name] for name, time_s in world.used_s().items()}
    for member in members:
        member.connection.close()
    count = len(seen.reads_s) + len(seen.writes_s)
    return seen, {
        "requests": count,
        "requests_per_s": round(count / elapsed_s, 1),
        "read_share": round(len(seen.reads_s) / count, 3),
        "all_ms": quantiles_ms(seen.reads_s + seen.writes_s),
        "reads_ms": quantiles_ms(seen.reads_s),
        "writes_ms": quantiles_ms(seen.writes_s),
        "kinds_ms": {kind: quantiles_ms(seen.by_kind_s[kind]) for kind in sorted(seen.by_kind_s)},
        "processor_ms_per_request": {
            name: round(time_s / count * 1000, 3) for name, time_s in spent.items()
        },
        "processors_busy": round(sum(spent.values()) / elapsed_s, 2),
    }
