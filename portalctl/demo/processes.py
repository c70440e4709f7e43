"""The demo's servers: each in a process of its own, stopped whatever happens to the demo."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn, Self

from portalctl.demo.errors import ProcessFailedError

_STOP_TIMEOUT_S: Final = 15.0
_LINE_LIMIT_BYTES: Final = 1024 * 1024
_TAIL_LINES: Final = 3
_CHILD: Final = "portalctl.demo.child"


class ServerProcess:
    """One server of the demo, from start to stop.

    It runs in a session of its own, so that Ctrl-C reaches only the demo, which then stops it in
    order; where the kernel can do it, it is also told to stop when the demo is killed.

    Args:
        name: What the user calls it, for errors.
        module: Python module to run, with its arguments.
        environment: Variables added to, or replacing, the demo's own.
        folder: Working folder of the process.
    """

    def __init__(
        self, name: str, module: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self._command = (sys.executable, "-m", _CHILD, str(os.getpid()), *module)
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._folder = folder
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LINE_LIMIT_BYTES,
            env=self._environment,
            cwd=self._folder,
            start_new_session=True,
        )
        self._process = process
        self._watch = asyncio.create_task(self._read_until_end(process), name=f"demo-{self.name}")
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._process is None or self._watch is None:
            return
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        try:
            await asyncio.wait_for(asyncio.shield(self._watch), _STOP_TIMEOUT_S)
        except (TimeoutError, asyncio.CancelledError) as error:
            _kill_session(self._process.pid)
            await self._watch
            if isinstance(error, asyncio.CancelledError):
                raise

    async def announced(self, pattern: str, timeout_s: float) -> str:
        """Wait for a line of its output that matches, and return the matching part.

        Args:
            pattern: Regular expression; its first group is returned.
            timeout_s: Seconds until it counts as not started.

        Raises:
            ProcessFailedError: It ended, or did not say it in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while (line := await self._lines.get()) is not None:
                    if found := re.search(pattern, line):
                        # What a server announces may hold keys: it is no part of its last words.
                        self._tail.clear()
                        return found[1]
        except TimeoutError as error:
            raise self.failure(f"was not ready within {timeout_s:g} s") from error
        raise self.failure(f"ended with status {self.exit_status}")

    async def fail_when_ended(self) -> NoReturn:
        """Wait until it ends by itself, then raise: nobody asked it to.

        Raises:
            ProcessFailedError: Always.
        """
        if self._watch is not None:
            await asyncio.shield(self._watch)
        raise self.failure(f"ended with status {self.exit_status} in the middle of the demo")

    @property
    def exit_status(self) -> int | None:
        """Its exit status; None while it runs."""
        return None if self._process is None else self._process.returncode

    def failure(self, reason: str) -> ProcessFailedError:
        """Return the error that says what happened to it, with its last words."""
        return ProcessFailedError(f"The {self.name}", reason, " | ".join(self._tail))

    async def _read_until_end(self, process: asyncio.subprocess.Process) -> None:
        # Read to the end although nobody may want it: a full pipe would stop the server.
        if process.stdout is not None:
            async for line in process.stdout:
                text = line.decode(errors="replace").strip()
                self._tail.append(text)
                self._lines.put_nowait(text)
        await process.wait()
        self._lines.put_nowait(None)


def _kill_session(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
