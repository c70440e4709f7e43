"""Many rows in one request: CSV import, and the bulk calls of each kind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from benchmarks.service.world import World

CSV_ROWS = 20_000
BULK_ROWS = 1_000
BULK_CALLS = 3


async def csv_import(world: World) -> dict[str, Any]:
    """Import new customers, then the same file again; rows per second."""
    crm = world.service()
    text = "no,name,email,phone\n" + "".join(
        f"{n},Person {n},{n}@example.com,+49 30 {n:07}\n" for n in range(CSV_ROWS)
    )
    path = f"/v1/imports/customers?key_column=no&source={uuid4().hex}"
    request = crm.encode("POST", path, text.encode(), {"Content-Type": "text/csv"})
    found: dict[str, Any] = {"rows": CSV_ROWS}
    for name, outcome in (("first", "created"), ("again", "unchanged")):
        used = world.used_s()
        started = time.perf_counter()
        status, _, body = await crm.exchange(request)
        elapsed_s = time.perf_counter() - started
        report = json.loads(body)
        if status != 200 or report[outcome] != CSV_ROWS:
            raise RuntimeError(f"{status} {body.decode()[:500]}")
        found[name] = {
            "rows_per_s": round(CSV_ROWS / elapsed_s),
            "processor_us_per_row": {
                part: round((time_s - used[part]) / CSV_ROWS * 1e6)
                for part, time_s in world.used_s().items()
            },
        }
    crm.close()
    return found


async def bulk(world: World) -> dict[str, Any]:
    """Create rows of each kind, 1,000 in a call; rows per second."""
    crm = world.service()
    found: dict[str, Any] = {"rows_per_call": BULK_ROWS}
    for kind, row in _KINDS.items():
        items = [row(world.customers[n % len(world.customers)], n) for n in range(BULK_ROWS)]
        body = json.dumps({"items": items}).encode()
        started = time.perf_counter()
        for _ in range(BULK_CALLS):
            status, _, answer = await crm.exchange(crm.encode("POST", f"/v1/bulk/{kind}", body))
            if status != 200 or json.loads(answer)["created"] != BULK_ROWS:
                raise RuntimeError(f"{kind}: {status} {answer.decode()[:500]}")
        found[kind] = {
            "rows_per_s": round(BULK_ROWS * BULK_CALLS / (time.perf_counter() - started))
        }
    crm.close()
    return found


_KINDS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "customers": lambda _, n: {"name": f"Person {n}", "email": f"{n}@example.com"},
    "jobs": lambda customer, n: {"customer_id": customer, "title": f"Service {n}"},
    "messages": lambda customer, n: {"customer_id": customer, "body": f"Message {n}"},
    "loyalty": lambda customer, n: {"customer_id": customer, "points": 1 + n % 9, "reason": "B"},
}
