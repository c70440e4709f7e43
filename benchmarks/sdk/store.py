"""The local store with 100,000 rows: open, read by id, apply a change.

Run: python -m benchmarks.sdk.store
"""

from __future__ import annotations

import gc
import json
import statistics
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from portal_sdk import PortalConfig
from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.feed import FeedChange, PullPage
from portal_sdk._core.replica import Commit
from portal_sdk._core.sync import SyncMachine
from portal_sdk._runtime.delivery import Subscribers
from portal_sdk._store import SqliteStore
from portal_sdk.models import Job
from portal_sdk.tables import LiveTable

ROWS = 100_000
CHANGES = 2_000
INSTANT = "2026-01-01T10:00:00+00:00"
SCOPE, EPOCH = "customer:c", "e"


def make_row(number: int) -> dict[str, Any]:
    return {
        "id": str(uuid.UUID(int=number)), "customer_id": str(uuid.UUID(int=7)), "version": 1,
        "title": f"Boiler service {number}", "description": "Yearly inspection and cleaning",
        "address": "1 Example Street", "status": "scheduled", "scheduled_start": INSTANT,
        "scheduled_end": None, "started_at": None, "completed_at": None, "cancelled_at": None,
        "deleted_at": None, "created_at": INSTANT, "updated_at": INSTANT,
    }  # fmt: skip


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "portal.db"
        store = SqliteStore(path)
        store.open("project", "user")
        store.claim("project", "user")
        rows = [make_row(number) for number in range(ROWS)]
        store.commit(Commit(SCOPE, EPOCH, ROWS, tuple(("jobs", row["id"], row) for row in rows)))
        store.close()
        size = path.stat().st_size
        del rows
        gc.collect()
        open_s, store, machine = measure_open(path)
        for _ in range(2):
            store.close()
            again_s, store, machine = measure_open(path)
            open_s = min(open_s, again_s)
        result = {"rows": ROWS, "file_mib": round(size / 2**20, 1), "open_s": round(open_s, 3)}
        result |= measure_reads(machine) | measure_changes(machine, store)
        store.close()
        return result


def measure_open(path: Path) -> tuple[float, SqliteStore, SyncMachine]:
    started = time.perf_counter()
    store = SqliteStore(path)
    stored = store.open("project", "user")
    machine = SyncMachine(SCOPE, PortalConfig(), lambda: 0.5)
    machine.load(stored.epoch or "", stored.n, stored.tables, stored.as_of, stored.known)
    return time.perf_counter() - started, store, machine


def measure_reads(machine: SyncMachine) -> dict[str, Any]:
    tasks: set[Any] = set()
    table = LiveTable("jobs", Job, lambda: machine.replica, Subscribers(10, tasks))
    ids = [str(uuid.UUID(int=number)) for number in range(0, ROWS, 10)]
    result: dict[str, Any] = {}
    for name in ("first_read_us", "repeated_read_us"):
        took = []
        for row_id in ids:
            started = time.perf_counter()
            table[row_id]
            took.append(time.perf_counter() - started)
        result[name] = round(statistics.median(took) * 1e6, 2)
    return result


def measure_changes(machine: SyncMachine, store: SqliteStore) -> dict[str, Any]:
    effects = machine.handle(ev.SyncStarted(), 0.0)
    took: list[float] = []
    for number in range(CHANGES):
        row = {**make_row(number), "version": 2, "title": "changed"}
        n = machine.replica.n + 1
        entry = FeedChange(n, "jobs", row["id"], False, row, "2026-01-01T10:00:00+00:00")
        request = next(e.request for e in effects if isinstance(e, do.RequestPull))
        started = time.perf_counter()
        done = machine.handle(ev.PullAnswered(request, PullPage(EPOCH, n, (entry,))), 0.0)
        for effect in done:
            if isinstance(effect, do.CommitRows):
                store.commit(effect.commit)
        took.append(time.perf_counter() - started)
        effects = machine.handle(ev.Rang(EPOCH, n + 1), 0.0)
    took.sort()
    return {
        "change_p50_us": round(statistics.median(took) * 1e6, 1),
        "change_p99_us": round(took[int(len(took) * 0.99)] * 1e6, 1),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
