"""Measure crm_service on a local stack: overhead over PostgREST, 100 staff at once, CSV import.

Run: python -m benchmarks.service [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from local_stack import LocalStack, StackConfig

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 300
STAFF_COUNT = 100
LOAD_S = 8.0
READ_SHARE = 0.7
CSV_ROWS = 10_000


def quantiles_ms(times_s: list[float]) -> dict[str, float]:
    ordered = sorted(times_s)
    at = lambda q: round(ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1000, 2)  # noqa: E731
    return {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99)}


async def timed(call: Callable[[], Awaitable[httpx.Response]]) -> float:
    started = time.perf_counter()
    response = await call()
    elapsed = time.perf_counter() - started
    assert response.is_success, response.text
    return elapsed


async def overhead(rest: httpx.AsyncClient, crm: httpx.AsyncClient) -> dict[str, Any]:
    """One caller, alternating: the same row read and written directly and through the service."""
    row = (await rest.get("/customers?limit=1")).json()[0]["id"]
    prefer = {"Prefer": "return=representation"}
    calls = {
        "read_direct": lambda: rest.get(f"/customers?id=eq.{row}"),
        "read_service": lambda: crm.get(f"/v1/customers/{row}"),
        "write_direct": lambda: rest.post("/customers", json={"name": "B"}, headers=prefer),
        "write_service": lambda: crm.post("/v1/customers", json={"name": "B"}),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(ROUNDS + 20):
        for name, call in calls.items():
            elapsed = await timed(call)
            if turn >= 20:
                times[name].append(elapsed)
    medians = {name: statistics.median(found) for name, found in times.items()}
    return {
        **{name: quantiles_ms(found) for name, found in times.items()},
        "read_ratio": round(medians["read_service"] / medians["read_direct"], 2),
        "write_ratio": round(medians["write_service"] / medians["write_direct"], 2),
    }


async def load(crm: httpx.AsyncClient, rows: list[str]) -> dict[str, Any]:
    """A hundred members of staff at once, seven reads to three writes, without pauses."""
    times: list[float] = []
    stop_at = time.perf_counter() + LOAD_S

    async def member(seed: int) -> None:
        chance = random.Random(seed)
        while time.perf_counter() < stop_at:
            row = chance.choice(rows)
            if chance.random() < READ_SHARE:
                call = lambda row=row: crm.get(f"/v1/customers/{row}")  # noqa: E731
            else:
                body = {"customer_id": row, "body": "On our way"}
                call = lambda body=body: crm.post("/v1/messages", json=body)  # noqa: E731
            times.append(await timed(call))

    await asyncio.gather(*(member(seed) for seed in range(STAFF_COUNT)))
    return {**quantiles_ms(times), "requests_per_s": round(len(times) / LOAD_S)}


async def csv_import(crm: httpx.AsyncClient) -> dict[str, Any]:
    text = "no,name,email\n" + "".join(f"{n},P {n},{n}@example.com\n" for n in range(CSV_ROWS))
    query = {"key_column": "no", "source": uuid4().hex}
    found = {}
    for name in ("first", "again"):
        started = time.perf_counter()
        response = await crm.post(
            "/v1/imports/customers", content=text.encode(), params=query, timeout=300
        )
        assert response.is_success, response.text
        found[f"{name}_rows_per_s"] = round(CSV_ROWS / (time.perf_counter() - started))
    return found


async def start_service(env: dict[str, str]) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "crm_service",
        env={
            **os.environ,
            **env,
            "CRM_PORT": "0",
            "CRM_LOG_LEVEL": "warning",
            "CRM_ENVIRONMENT": "development",
            "CRM_RATE_LIMIT": "none",
        },
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    line = (await process.stderr.readline()).decode()
    found = re.search(r"http://\S+", line)
    assert found, line
    return process, found[0]


async def measure() -> dict[str, Any]:
    async with LocalStack(StackConfig(data_dir=None, project_dir=ROOT)) as stack:
        process, url = await start_service(stack.env())
        try:
            return await measure_against(stack, url)
        finally:
            process.terminate()
            await process.wait()


async def measure_against(stack: LocalStack, url: str) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=STAFF_COUNT)
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{stack.api_url}/auth/v1/token?grant_type=password",
            headers={"apikey": stack.keys.publishable},
            json={"email": "manager@crm.example", "password": "portal-demo"},
        )
        assert answer.is_success, answer.text
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    rest_headers = {**headers, "apikey": stack.keys.publishable}
    async with (
        httpx.AsyncClient(
            base_url=f"{stack.api_url}/rest/v1", headers=rest_headers, trust_env=False
        ) as rest,
        httpx.AsyncClient(
            base_url=url, headers=headers, trust_env=False, limits=limits, timeout=60
        ) as crm,
    ):
        rows = [row["id"] for row in (await rest.get("/customers?select=id&limit=50")).json()]
        return {
            "overhead": await overhead(rest, crm),
            "load": await load(crm, rows),
            "csv_import": await csv_import(crm),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line for machines")
    arguments = parser.parse_args()
    found = asyncio.run(measure())
    print(json.dumps(found, indent=None if arguments.json else 2))


if __name__ == "__main__":
    main()
