"""Run one benchmark in a process of its own, and keep its result."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from portalctl.exits import CommandError, EnvironmentUnusableError

_STOP_TIMEOUT_S: Final = 30.0


def find_repository() -> Path:
    """Return the clone that this program runs from.

    Raises:
        EnvironmentUnusableError: It is an installed package, which has no benchmarks.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "benchmarks" / "targets.toml").is_file():
        raise EnvironmentUnusableError(
            "The benchmarks are no part of an installed package.",
            "Clone the repository, `make setup` there, and run its .venv/bin/portalctl bench.",
        )
    return root


async def run_benchmark(root: Path, name: str, out: Path) -> dict[str, Any]:
    """Run `python -m benchmarks.<name>`; return its result, which is then in `<out>/<name>.json`.

    What it prints is in `<out>/<name>.log`. An earlier result stays until there is a new one.

    Raises:
        CommandError: It ended without a result; the message names the log.

    Cancellation:
        It is asked to stop what it started, and killed if it does not.
    """
    result, log = out / f"{name}.json", out / f"{name}.log"
    made = out / f"{name}.json.new"
    made.unlink(missing_ok=True)
    command = (sys.executable, "-m", f"benchmarks.{name}", "--out", str(made))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=root, stdin=asyncio.subprocess.DEVNULL, stdout=output,
            stderr=asyncio.subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            # Some end with 1 when a target is missed: what counts is whether there is a result.
            status = await process.wait()
        except asyncio.CancelledError:
            await _stop(process)
            made.unlink(missing_ok=True)
            raise
    try:
        found: dict[str, Any] = json.loads(made.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(
            f"benchmarks.{name} ended with status {status} and no result.", f"See {log}."
        ) from error
    made.replace(result)
    return found


async def _stop(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
            return
