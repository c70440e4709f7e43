"""One caller, in turns: the same rows read and written at PostgREST and through the service."""

from __future__ import annotations

import json
import random
import statistics
import time
from typing import Any
from uuid import uuid4

from benchmarks.service.figures import quantiles_ms
from benchmarks.service.world import World

_WARM_UP = 50
# What a hundred members of staff ask for (see load.py), writes as messages.
_SHARES = {"read": 0.35, "jobs": 0.14, "thread": 0.14, "list": 0.07, "write": 0.3}


async def overhead(world: World, rounds: int) -> dict[str, Any]:
    """Return latencies and the ratios of their medians, each and of the mix.

    Args:
        world: Everything that runs.
        rounds: How often each call is made.
    """
    rest, crm = world.rest(), world.service()
    jobs = "select=*,...job_assignments(assigned_to)"
    represent = {"Prefer": "return=representation"}
    times: dict[str, list[float]] = {}
    order = random.Random(0)
    for turn in range(rounds + _WARM_UP):
        customer = world.customers[turn % len(world.customers)]
        thread = f"customer_id=eq.{customer}&deleted_at=is.null"
        newest = "order=created_at.desc,id.desc&limit=51"

        def message(customer: str = customer) -> bytes:
            return json.dumps({"id": str(uuid4()), "customer_id": customer, "body": "B"}).encode()

        calls = {
            "read_direct": (rest, rest.encode("GET", f"/customers?id=eq.{customer}")),
            "read_service": (crm, crm.encode("GET", f"/v1/customers/{customer}")),
            "list_direct": (rest, rest.encode("GET", f"/customers?deleted_at=is.null&{newest}")),
            "list_service": (crm, crm.encode("GET", "/v1/customers")),
            "thread_direct": (rest, rest.encode("GET", f"/messages?{thread}&{newest}")),
            "thread_service": (crm, crm.encode("GET", f"/v1/messages?customer_id={customer}")),
            "jobs_direct": (rest, rest.encode("GET", f"/jobs?{jobs}&{thread}&{newest}")),
            "jobs_service": (crm, crm.encode("GET", f"/v1/jobs?customer_id={customer}")),
            "write_direct": (rest, rest.encode("POST", "/messages", message(), represent)),
            "write_service": (crm, crm.encode("POST", "/v1/messages", message())),
        }
        # In another order each time: who comes second finds the caches warm.
        for name, (connection, request) in order.sample(list(calls.items()), len(calls)):
            started = time.perf_counter()
            status, _, body = await connection.exchange(request)
            took_s = time.perf_counter() - started
            if status not in {200, 201}:
                raise RuntimeError(f"{name}: {status} {body.decode()[:500]}")
            if turn >= _WARM_UP:
                times.setdefault(name, []).append(took_s)
    medians = {name: statistics.median(found) for name, found in times.items()}
    ratios = {
        f"{kind}_ratio": round(medians[f"{kind}_service"] / medians[f"{kind}_direct"], 2)
        for kind in _SHARES
    }
    mixed = {
        way: sum(share * medians[f"{kind}_{way}"] for kind, share in _SHARES.items())
        for way in ("service", "direct")
    }
    ratios["mix_ratio"] = round(mixed["service"] / mixed["direct"], 2)
    return {**ratios, **{f"{name}_ms": quantiles_ms(found) for name, found in times.items()}}
