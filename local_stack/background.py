"""A stack on a thread of its own, for programs and tests that are not async themselves."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self, TypeVar

from local_stack.stack import LocalStack

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from local_stack.config import StackConfig
    from local_stack.databases import FreshDatabase
    from local_stack.faults import Faults
    from local_stack.keys import ProjectKeys

T = TypeVar("T")
DEFAULT_TIMEOUT_S = 120


class LoopThread:
    """Runs coroutines on one event loop in a background thread.

    The thread ends with `close`; it must live as long as the processes that were started on it.
    """

    def __init__(self, name: str) -> None:
        running: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=_run_loop, args=(running,), name=name, daemon=True)
        self._thread.start()
        self._loop = running.result(DEFAULT_TIMEOUT_S)

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float = DEFAULT_TIMEOUT_S) -> T:
        """Run a coroutine there and return its result here; blocks the caller.

        Raises:
            TimeoutError: It took longer; it was cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise

    async def acall(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it without blocking the caller's loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def leftover_tasks(self) -> list[str]:
        """Name the tasks that still run there."""

        async def names() -> list[str]:
            current = asyncio.current_task()
            return [task.get_name() for task in asyncio.all_tasks() if task is not current]

        return self.call(names())

    def close(self) -> None:
        """Stop the loop and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEFAULT_TIMEOUT_S)


def _run_loop(running: Future[asyncio.AbstractEventLoop]) -> None:
    # Made and closed in its own thread: the caller's may be running a loop already.
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.call_soon(running.set_result, loop)
        loop.run_forever()


class BackgroundStack:
    """A running stack on a thread of its own; every method may be called from any thread.

    Use it with `with`, or call `start` and `close`.

    Attributes:
        stack: The stack; its plain attributes may be read from any thread.
        leftover_tasks: Names of tasks that still ran after `close`; empty unless there is a fault.
    """

    def __init__(self, config: StackConfig | None = None) -> None:
        self._thread = LoopThread("local stack")
        self.stack = LocalStack(config)
        self.leftover_tasks: list[str] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the stack; blocks until it serves.

        Raises:
            StackError: It cannot start; nothing is left running.
        """
        try:
            self._thread.call(self.stack.__aenter__())
        except BaseException:
            self._thread.close()
            raise

    def close(self) -> None:
        """Stop the stack; blocks until it has stopped."""
        try:
            self._thread.call(self.stack.__aexit__(None, None, None))
            self.leftover_tasks = self._thread.leftover_tasks()
        finally:
            self._thread.close()

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float = DEFAULT_TIMEOUT_S) -> T:
        """Run a coroutine on the stack's own loop."""
        return self._thread.call(work, timeout_s)

    def reset_database(self) -> None:
        """Put the database back to what it is when new; see `LocalStack.reset_database`."""
        self.call(self.stack.reset_database())

    @contextlib.contextmanager
    def fresh_database(self) -> Iterator[FreshDatabase]:
        """Lend a database of its own; see `LocalStack.fresh_database`."""
        lending = self.stack.fresh_database()
        database = self.call(lending.__aenter__())
        try:
            yield database
        finally:
            self.call(lending.__aexit__(None, None, None))

    @property
    def api_url(self) -> str:
        """URL for Supabase clients."""
        return self.stack.api_url

    @property
    def database_url(self) -> str:
        """Database URL as role postgres."""
        return self.stack.database_url

    @property
    def admin_database_url(self) -> str:
        """Database URL as superuser."""
        return self.stack.admin_database_url

    @property
    def keys(self) -> ProjectKeys:
        """API keys."""
        return self.stack.keys

    @property
    def faults(self) -> Faults:
        """Fault switches; reset them after use."""
        return self.stack.faults

    def env(self) -> dict[str, str]:
        """Return the SUPABASE_* variables."""
        return self.stack.env()
