"""kill -9 at every step of a write: afterwards it is in effect exactly once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def writers() -> Iterator[subprocess.Popen[str]]:
    """The program that forks writers; the one that it waits for ends with it."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM)], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    ) as program:  # fmt: skip
        yield program
        os.killpg(program.pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(EFFECTS))
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.spec("OUT-10")
async def test_a_killed_write_is_in_effect_exactly_once(
    account: Any, writers: Any, tmp_path: Any, kind: str, step: str
) -> None:
    """The next portal on the same store finishes it; the database counts one effect."""
    await account.database.execute(
        "insert into loyalty_transactions (customer_id, points, kind) values ($1, 100, 'award')",
        account.customer_id,
    )
    store = tmp_path / "portal.db"
    line = [account.stack.api_url, account.stack.keys.publishable, account.email]
    writers.stdin.write(f"{json.dumps([*line, str(store), kind, step])}\n")
    writers.stdin.flush()
    async with asyncio.timeout(30):
        assert await asyncio.to_thread(writers.stdout.readline) == f"{-signal.SIGKILL}\n"
    async with account.portal(store=store) as portal:
        await portal.ready()
        await eventually(lambda: len(portal.outbox) == 0)
        assert portal.status.pending_writes == 0
    assert await account.database.fetchval(EFFECTS[kind], account.customer_id) == 1
