"""Find and stop a server that outlived the stack which started it."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack.errors import PostgresStartError
from local_stack.postgres import process

if TYPE_CHECKING:
    from local_stack.postgres.data import DataFolder

PID_FILE = "postmaster.pid"
POLL_S = 0.05
PROC = Path("/proc")
PS = Path("/bin/ps")
PS_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class PidFile:
    """The lines of `postmaster.pid` that matter here."""

    pid: int
    port: int | None


def parse_pid_file(text: str) -> PidFile | None:
    """Return the server's pid and port, None for a file that was cut off.

    Source:
        PostgreSQL, src/include/utils/pidfile.h: line 1 pid, 2 data folder, 3 start, 4 port.
    """
    lines = text.splitlines()
    try:
        pid = abs(int(lines[0]))
    except (IndexError, ValueError):
        return None
    port = int(lines[3]) if len(lines) > 3 and lines[3].strip().isdigit() else None
    return PidFile(pid, port) if pid > 1 else None


async def leftover_pid(folder: DataFolder) -> int | None:
    """Return the pid of a live server on this data folder, None when there is none.

    The number in the file may belong to another process by now, so the process is checked to
    be a server on exactly this folder.
    """
    try:
        found = parse_pid_file((folder.data / PID_FILE).read_text())
    except OSError:
        return None
    if found is None or not is_alive(found.pid):
        return None
    return found.pid if await _serves(found.pid, folder.data) else None


async def _serves(pid: int, data: Path) -> bool:
    working_directory = _working_directory(pid)
    if working_directory is not None:
        # A server changes into its data folder.
        return working_directory == data.resolve()  # noqa: ASYNC240  # local disk, once
    listing = await process.run(
        PS, ["-p", str(pid), "-o", "command="], account=None, timeout_s=PS_TIMEOUT_S
    )
    return str(data) in listing.output


def _working_directory(pid: int) -> Path | None:
    try:
        return (PROC / str(pid) / "cwd").resolve(strict=True)
    except OSError:  # no /proc here, or the process is gone
        return None


def is_alive(pid: int) -> bool:
    """Tell whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def stop_leftover(pid: int, timeout_s: float) -> None:
    """Stop a server that is not our child: fast, then at once.

    Args:
        pid: From `leftover_pid`.
        timeout_s: Seconds given to each of the two steps.

    Raises:
        PostgresStartError: It still runs, or belongs to another user.
    """
    for request in (signal.SIGINT, signal.SIGQUIT):
        try:
            os.kill(pid, request)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise PostgresStartError(
                f"A PostgreSQL server of another user (process {pid}) runs on this data folder. "
                "Stop it as that user, or name another folder with --data."
            ) from error
        if await _gone(pid, timeout_s):
            return
    raise PostgresStartError(
        f"A PostgreSQL server (process {pid}) left over on this data folder does not end. "
        f"Stop it by hand (`kill -QUIT {pid}`) and start again."
    )


async def _gone(pid: int, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            while is_alive(pid):  # noqa: ASYNC110  # not our child: nothing to wait on
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return False
    return True
