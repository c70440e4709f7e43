"""The programs in examples/ that need only a stack do what they say."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[3] / "examples"


@asynccontextmanager
async def running(stack: Any, name: str, *arguments: str) -> Any:
    """Start an example; give its process, and end it."""
    env = {
        **os.environ,
        "SUPABASE_URL": stack.api_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.keys.publishable,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / name), *arguments, env=env, cwd=EXAMPLES.parent,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def output(stack: Any, name: str, *arguments: str) -> list[str]:
    async with running(stack, name, *arguments) as process:
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err.decode()
        return out.decode().splitlines()


async def test_the_blocking_script_writes_and_reads_it_back(account: Any) -> None:
    groups, answer = await output(account.stack, "blocking_script.py", "Hello there")
    assert groups.startswith("{")
    assert answer.endswith(": Hello there (version 1)")


async def test_two_devices_see_each_other(account: Any) -> None:
    lines = await output(account.stack, "presence.py")
    assert lines == ["joined invoices", "left", "on my way"]


async def test_staff_follow_the_jobs_of_all_customers(account: Any) -> None:
    async with running(account.stack, "staff_live_view.py") as process:

        async def line() -> str:
            return (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()

        assert (await line()).startswith("started: ")
        await account.add_job("Seen by staff")
        heard = await line()
        while "Seen by staff" not in heard:
            heard = await line()
        assert heard == "insert: Seen by staff is requested"
