"""A stack in a process of its own, for scenarios that keep the tests' process busy by themselves.

In one process, Python would hand its lock from the portals' thread to the stack's and back at every
system call; what is measured then is that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from local_stack.keys import ProjectKeys

ROOT = Path(__file__).parents[2]
START_S = 90


@dataclass(frozen=True)
class StackProcess:
    """Where it is, and its keys."""

    api_url: str
    database_url: str
    keys: ProjectKeys


@contextlib.asynccontextmanager
async def stack_process() -> AsyncIterator[StackProcess]:
    """Run `portalctl up` on a folder that is gone afterwards."""
    with _open_folder() as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "portalctl", "up", "--data", str(folder / "stack"), "--json",
            "--port", "0", "--db-port", "0", "--log-level", "warning",
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            async with asyncio.timeout(START_S):
                facts = json.loads(await process.stdout.readline())
            keys = ProjectKeys.load(folder / "stack" / "keys.json")
            yield StackProcess(facts["api_url"], facts["env"]["SUPABASE_DB_URL"], keys)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            await process.wait()
            process._transport.close()  # type: ignore[attr-defined]


@contextlib.contextmanager
def _open_folder() -> Iterator[Path]:
    """Make a folder that the account of PostgreSQL may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="portal-faults-") as made:
        path = Path(made)
        path.chmod(0o711)
        yield path
