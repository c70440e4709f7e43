"""F5: the API is killed before a commit, or after it and before the reply: one effect."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from local_stack.ports import free_port
from portal_sdk import PasswordAuth, Portal
from tests.faults.world import CONFIG
from tests.support.waiting import eventually

PROGRAM = "tests.faults.killable_stack"
ROOT = Path(__file__).parents[2]
LOGIN = PasswordAuth("customer001@example.com", "portal-demo")
START_S = 90


@contextlib.asynccontextmanager
async def running(folder: Path, port: int, moment: str) -> AsyncIterator[tuple[Any, list[str]]]:
    """Run the stack as a program; give its process, and its URL, database URL and key."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", PROGRAM, str(folder), str(port), moment,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_S):
            line = await process.stdout.readline()
        yield process, line.decode().split()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the account of PostgreSQL may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="portal-faults-") as made:
        path = Path(made)
        path.chmod(0o711)
        yield path


@pytest.mark.soak
@pytest.mark.parametrize("moment", ["before commit", "after commit"])
async def test_a_write_whose_server_is_killed_is_in_effect_once(folder: Path, moment: str) -> None:
    """The portal sends the same key again to the next server, and shows the row once."""
    port = free_port()
    async with running(folder / "stack", port, moment) as (process, (url, _database, key)):
        portal = Portal(url, key, auth=LOGIN, store=folder / "portal.db", config=CONFIG)
        async with portal:
            await portal.ready(timeout_s=30)
            sent = await portal.messages.send("once")
            async with asyncio.timeout(30):
                assert await process.wait() == -signal.SIGKILL
            await eventually(lambda: portal.status.state != "live", 30)
            assert portal.status.pending_writes == 1
            async with running(folder / "stack", port, "") as (_process, (_url, database, _key)):
                await sent.synced(timeout_s=60)
                await eventually(lambda: portal.status.state == "live", 30)
                assert [message.body for message in portal.messages].count("once") == 1
                assert portal.status.pending_writes == 0
                assert (
                    await _count(database, "select count(*) from messages where body = 'once'") == 1
                )
                effects = "select count(*) from activity_log where new ->> 'body' = 'once'"
                assert await _count(database, effects) == 1


async def _count(database_url: str, sql: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        return int(await connection.fetchval(sql))
    finally:
        await connection.close()
