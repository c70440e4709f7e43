"""F4: kill -9 at every step of reading; the next life has every row and repeats no change."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.oracle import stored_rows
from tests.faults.proxy import FaultProxy
from tests.faults.scenario import portal_of, shows_the_truth, truth_of

ROOT = Path(__file__).parents[2]
STEPS = [
    f"{when} {what}"
    for what in ("fetch", "apply", "commit", "publish")
    for when in ("before", "after")
]


@pytest.mark.soak
@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_portal_goes_on_where_it_was(
    customer: Any, proxy: FaultProxy, tmp_path: Path, step: str
) -> None:
    """Rows and cursor were committed together: what was told is not told again."""
    job = await customer.add_job()
    store, told = tmp_path / "portal.db", tmp_path / "told.txt"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.killed_portal", proxy.url,
        customer.stack.keys.publishable, customer.email, str(store), str(told), step,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"ready\n"
        number = 0
        while process.returncode is None:
            number += 1
            await customer.rename_job(job, f"t{number}")
            await asyncio.sleep(0.01)  # a step for each change, not one for all
    assert process.returncode == -signal.SIGKILL
    told_before = [tuple(map(int, line.split())) for line in told.read_text().splitlines()]
    assert told_before == sorted(set(told_before))
    stored = stored_rows(store)
    async with portal_of(customer, proxy.url, store=store) as portal:
        changes = portal.changes()
        await shows_the_truth(portal, customer)
        last = await customer.rename_job(job, "last") or await customer.head()
        first = None
        while True:
            change = await anext(changes)
            first = first or change
            if change.n == last:
                break
    known = stored["jobs", str(job)]["version"]
    assert first is not None
    assert first.record.version == known + 1
    assert not told_before or first.n > told_before[-1][0]
    assert (await truth_of(customer)).rows == stored_rows(store)
