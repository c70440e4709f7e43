"""Run long work that Ctrl-C or SIGTERM ends in order."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from portalctl import console
from portalctl.exits import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

ResultT = TypeVar("ResultT")


def run_until_stopped(name: str, work: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
    """Run on an event loop of its own; the first Ctrl-C or SIGTERM cancels it.

    Args:
        name: Of the command, for what is said when it is stopped.
        work: Called on the loop.

    Raises:
        typer.Exit: It was stopped, and has ended.
    """
    import uvloop  # noqa: PLC0415 - not on every platform, and not needed for --help

    async def main() -> ResultT:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work())

        def stop() -> None:
            # Once: a second one would interrupt the stopping, and leave servers behind.
            if not task.cancelling():
                console.stderr().print(f"{name}: stopping …")
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        return await task

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main())
    except asyncio.CancelledError:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
