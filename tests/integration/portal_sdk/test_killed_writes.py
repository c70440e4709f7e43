"""kill -9 at every step of a write: afterwards it is in effect exactly once."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import eventually

PROGRAM = Path(__file__).parent / "killed_writer.py"
ROOT = Path(__file__).parents[3]
STEPS = ["kept", "sending", "answered", "recorded", "synced"]
EFFECTS = {
    "message": "select count(*) from messages where customer_id = $1 and body = 'once'",
    "redeem": "select count(*) from loyalty_transactions where customer_id = $1 and points = -10",
    "job": "select count(*) from jobs where customer_id = $1 and title = 'once'",
    "profile": "select count(*) from activity_log where customer_id = $1"
    " and table_name = 'customers' and op = 'update' and new ? 'phone'",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(EFFECTS))
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.spec("OUT-10")
async def test_a_killed_write_is_in_effect_exactly_once(
    account: Any, tmp_path: Any, kind: str, step: str
) -> None:
    """The next portal on the same store finishes it; the database counts one effect."""
    await account.database.execute(
        "insert into loyalty_transactions (customer_id, points, kind) values ($1, 100, 'award')",
        account.customer_id,
    )
    store = tmp_path / "portal.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), account.stack.api_url, account.stack.keys.publishable,
        account.email, str(store), kind, step, cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            assert await process.wait() == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    async with account.portal(store=store) as portal:
        await portal.ready()
        await eventually(lambda: len(portal.outbox) == 0)
        assert portal.status.pending_writes == 0
    assert await account.database.fetchval(EFFECTS[kind], account.customer_id) == 1
