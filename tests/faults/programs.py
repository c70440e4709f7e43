"""Programs that a scenario starts and stops."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
START_S = 90


@contextlib.asynccontextmanager
async def running_module(
    module: str, *arguments: str, is_quiet: bool = False
) -> AsyncIterator[tuple[Process, str]]:
    """Run a Python module; give its process and the first line it prints; end it by Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        cwd=ROOT, stdout=PIPE, stderr=DEVNULL if is_quiet else None,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_S):
            line = await process.stdout.readline()
        yield process, line.decode()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that the account of PostgreSQL may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="portal-faults-") as made:
        path = Path(made)
        path.chmod(0o711)
        yield path
