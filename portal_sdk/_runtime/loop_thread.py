"""An event loop in a thread of its own, for programs that are not asynchronous."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from portal_sdk.errors import PortalClosedError, StateError

ResultT = TypeVar("ResultT")
ALIVE_CHECK_S = 1.0


class LoopThread:
    """Runs one loop until it is stopped; calls come from any other thread."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
        """Run a coroutine on the loop and wait for its result.

        Raises:
            StateError: Called from the loop's own thread, or after a fork.
            PortalClosedError: Called after ``stop``.
            BaseException: Whatever the coroutine raises; an interrupt cancels the coroutine.
        """
        self._check()
        future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        try:
            return self._wait_for(future)
        except concurrent.futures.CancelledError as error:
            raise PortalClosedError("The portal was closed during this call") from error
        except BaseException:
            future.cancel()
            raise

    def call(self, function: Callable[[], ResultT]) -> ResultT:
        """Call a plain function on the loop and wait for its result."""

        async def work() -> ResultT:
            return function()

        return self.run(work)

    def stop(self) -> None:
        """Cancel what is left, stop the loop and wait for the thread."""
        if self._loop.is_closed() or self._pid != os.getpid():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _wait_for(self, future: concurrent.futures.Future[ResultT]) -> ResultT:
        """Wait for the result; not for ever, should the loop end before it began the work."""
        while True:
            try:
                return future.result(ALIVE_CHECK_S)
            except TimeoutError:
                if future.done():
                    return future.result()  # the work's own error, or it ended just now
                if not self._thread.is_alive():
                    raise PortalClosedError("The portal was closed during this call") from None

    def _check(self) -> None:
        if threading.current_thread() is self._thread:
            raise StateError("Do not call the blocking portal from its own callbacks' loop")
        if self._pid != os.getpid():
            raise StateError("A portal does not survive a fork: open it after the fork")
        if self._loop.is_closed():
            raise PortalClosedError("The portal is closed; open a new one")

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks))
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
