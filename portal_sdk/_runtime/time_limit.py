"""How long a request may take: one lasting alarm for all requests of a portal."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from portal_sdk._runtime.alarm import Alarm


class TimeLimit:
    """Ends what takes too long, as ``asyncio.timeout`` does, without a timer for each request.

    ``with limit: await request()`` raises TimeoutError in the task that is late. Many tasks may be
    inside at once, each of them once.

    Args:
        limit_s: Seconds.
    """

    __slots__ = ("_alarm", "_late", "_limit_s", "_running")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._alarm = Alarm(self._look)
        # Each task with its deadline, which is first for the first, and its cancellations so far.
        self._running: dict[asyncio.Task[Any], tuple[float, int]] = {}
        self._late: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> None:
        task = _current_task()
        at = asyncio.get_running_loop().time() + self._limit_s
        self._running[task] = (at, task.cancelling())
        self._alarm.set(at)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task = _current_task()
        _at, cancelling = self._running.pop(task)
        if task not in self._late:
            return
        self._late.remove(task)
        # Somebody else may have cancelled it too; then it is cancelled, and not merely late.
        if task.uncancel() <= cancelling and isinstance(exc, asyncio.CancelledError):
            raise TimeoutError from exc

    def close(self) -> None:
        """Let go of the alarm; whoever is inside is not ended any more."""
        self._alarm.cancel()

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for task, (at, _cancelling) in self._running.items():
            if at > now:
                self._alarm.set(at)
                return
            if task not in self._late:
                self._late.add(task)
                task.cancel()


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("A time limit is for what a task does")
    return task
