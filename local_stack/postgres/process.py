"""Child processes of the stack: run one to its end, or keep one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_stack.postgres.account import Account

ROOT = Path("/")
LAUNCHER = Path(__file__).with_name("launcher.py")
OUTPUT_TAIL_CHARACTERS = 4_000


@dataclass(frozen=True, slots=True)
class Finished:
    """A child process that has ended: exit status (negative: signal) and what it printed."""

    status: int
    output: str


def _command(
    program: Path,
    arguments: Sequence[str],
    account: Account | None,
    folder: Path,
    death_signal: signal.Signals,
) -> list[str]:
    uid, gid = (account.uid, account.gid) if account is not None else (-1, -1)
    launch = [str(os.getpid()), str(uid), str(gid), str(int(death_signal)), str(folder)]
    return [sys.executable, "-I", "-S", str(LAUNCHER), *launch, str(program), *arguments]


def _environment() -> dict[str, str]:
    # Nothing is inherited: PGDATA, PGOPTIONS or a locale of the caller must not change the server.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


async def keep(
    program: Path,
    arguments: Sequence[str],
    *,
    account: Account | None,
    folder: Path,
    log: IO[bytes],
) -> asyncio.subprocess.Process:
    """Start a program that lives as long as the stack.

    It runs in a session of its own, so that Ctrl-C in a terminal reaches only the stack, which
    then stops its children in order. On Linux it is sent SIGINT when the thread that started
    it ends, however that happens.

    Args:
        program: Absolute path of the executable.
        arguments: Everything after the program's name.
        account: Account to switch to, None for our own.
        folder: Working folder.
        log: Open file that receives stdout and stderr.
    """
    return await asyncio.create_subprocess_exec(
        *_command(program, arguments, account, folder, signal.SIGINT),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=_environment(),
        start_new_session=True,
    )


async def run(
    program: Path,
    arguments: Sequence[str],
    *,
    account: Account | None,
    folder: Path = ROOT,
    timeout_s: float = 60,
) -> Finished:
    """Run a program to its end and return what it printed.

    Raises:
        TimeoutError: It did not end in time; it was killed.

    Cancellation:
        The program is killed and waited for.
    """
    process = await asyncio.create_subprocess_exec(
        *_command(program, arguments, account, folder, signal.SIGKILL),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=_environment(),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode("utf-8", "replace")[-OUTPUT_TAIL_CHARACTERS:]
    return Finished(process.returncode if process.returncode is not None else -1, text)
