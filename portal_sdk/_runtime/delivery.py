"""Bounded queues between the driver and the subscribers.

The driver only ever appends. A stream or callback that raises, blocks or never reads harms nothing
but itself. Only an async function that blocks without awaiting stops its event loop, as it would
anywhere; whatever the portal missed meanwhile is caught up afterwards.

Overflow policy: a change stream that falls ``capacity`` changes behind delivers what it has, then
raises SlowConsumerError; a callback drops the newest changes, counts them and logs once; a status
stream forgets the oldest.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar

from portal_sdk._runtime.threads import run_in_thread
from portal_sdk.errors import ConfigurationError, SlowConsumerError

logger = logging.getLogger("portal_sdk")
ItemT = TypeVar("ItemT")


class Stream(AsyncIterator[ItemT], Generic[ItemT]):
    """An async iterator over what happened since it was made; ends when the portal closes.

    Cancellation: safe; no item is lost. One reader at a time.
    """

    def __init__(self, capacity: int, *, forget_oldest: bool = False) -> None:
        self._items: deque[ItemT] = deque()
        self._capacity = capacity
        self._forget_oldest = forget_oldest
        self._dropped_count = 0
        self._is_closed = False
        self._wakeup = asyncio.Event()

    def push(self, item: ItemT) -> None:
        """Append an item, or apply the overflow policy."""
        if self._is_closed:
            return
        if self._dropped_count or len(self._items) >= self._capacity:
            if not self._forget_oldest:
                self._dropped_count += 1
                return
            self._items.popleft()
        self._items.append(item)
        self._wakeup.set()

    def close(self) -> None:
        """End the stream; what is queued is still delivered."""
        self._is_closed = True
        self._wakeup.set()

    async def __anext__(self) -> ItemT:
        while not self._items:
            if self._dropped_count:
                dropped, self._dropped_count = self._dropped_count, 0
                self._is_closed = True
                raise SlowConsumerError(dropped_count=dropped, capacity=self._capacity)
            if self._is_closed:
                raise StopAsyncIteration
            self._wakeup.clear()
            await self._wakeup.wait()
        return self._items.popleft()

    async def aclose(self) -> None:
        """Stop delivering to this stream."""
        self._items.clear()
        self.close()


class CallbackQueue:
    """Calls one user function, in order, outside the driver; its task lives only while busy.

    An async function runs as a task of the event loop. A plain function runs in a thread of its
    own, which lives only while there are calls: it may block for as long as it likes.
    """

    def __init__(self, callback: Callable[..., Any], capacity: int, tasks: set[Any]) -> None:
        self.error_count = 0
        self.dropped_count = 0
        self._callback = callback
        self._is_async = is_async_function(callback)
        self._capacity = capacity
        self._calls: deque[tuple[Any, ...]] = deque()
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None
        # The name of the user's function, for logs.
        self.name: str = getattr(callback, "__qualname__", type(callback).__name__)

    def push(self, *arguments: Any) -> None:
        """Queue one call."""
        if len(self._calls) >= self._capacity:
            self.dropped_count += 1
            if self.dropped_count == 1:
                logger.error("Callback %s is too slow and misses changes", self.name)
            return
        self._calls.append(arguments)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"portal-callback-{self.name}")
            self._tasks.add(self._task)

    async def _run(self) -> None:
        try:
            while self._calls:
                if self._is_async:
                    await self._call(self._calls.popleft())
                elif (awaitable := await run_in_thread(self._call_some)) is not None:
                    await self._finish(awaitable)  # a plain function that returned a coroutine
        finally:
            self._calls.clear()  # after a cancellation the thread ends with the call it is in
            self._tasks.discard(self._task)
            self._task = None

    async def _call(self, arguments: tuple[Any, ...]) -> None:
        try:
            awaitable = self._callback(*arguments)
        except Exception as error:  # noqa: BLE001 - the user's function failed, not the portal
            self._report(error)
        else:
            await self._finish(awaitable)

    async def _finish(self, awaitable: Awaitable[Any]) -> None:
        try:
            await awaitable
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._report(error)  # it awaited something that somebody else cancelled
        except Exception as error:  # noqa: BLE001 - the user's function failed, not the portal
            self._report(error)

    def _call_some(self) -> Awaitable[Any] | None:
        """Run in the thread: call until nothing is queued, or something must be awaited."""
        while self._calls:
            arguments = self._take()
            if arguments is None:
                break
            try:
                result = self._callback(*arguments)
            except Exception as error:  # noqa: BLE001 - the user's function failed, not the portal
                self._report(error)
            else:
                if inspect.isawaitable(result):
                    return result
        return None

    def _take(self) -> tuple[Any, ...] | None:
        try:
            return self._calls.popleft()
        except IndexError:  # the loop's thread cleared the queue: the portal closes
            return None

    def _report(self, error: BaseException) -> None:
        # The message and the frames of the error may hold row data: neither is logged.
        self.error_count += 1
        logger.error(
            "Callback %s raised %s (%d so far)",
            self.name,
            type(error).__name__,
            self.error_count,
            extra={"portal_callback": self.name},
        )
        logger.debug("Traceback of the failed callback", exc_info=error)


class Subscribers(Generic[ItemT]):
    """The streams and callbacks of one kind of item; owned by the portal."""

    def __init__(self, capacity: int, tasks: set[Any], *, forget_oldest: bool = False) -> None:
        self._capacity = capacity
        self._forget_oldest = forget_oldest
        self._tasks = tasks
        # A stream that nobody reads any more is collected, and with it its queue.
        # Made when needed: an empty one takes 850 bytes, and a portal has eight of these.
        self._streams: weakref.WeakSet[Stream[ItemT]] | None = None
        self._callbacks: list[tuple[CallbackQueue, Callable[[ItemT], tuple[Any, ...] | None]]] = []
        self._is_closed = False

    def __bool__(self) -> bool:
        return bool(self._callbacks) or bool(self._streams)

    @property
    def error_count(self) -> int:
        """How often a callback of this kind raised."""
        return sum(queue.error_count for queue, _ in self._callbacks)

    def stream(self) -> Stream[ItemT]:
        """Return a stream that gets every item from now on."""
        stream: Stream[ItemT] = Stream(self._capacity, forget_oldest=self._forget_oldest)
        if self._is_closed:
            stream.close()
        if self._streams is None:
            self._streams = weakref.WeakSet()
        self._streams.add(stream)
        return stream

    def add_callback(
        self,
        callback: Callable[..., Any],
        arguments: Callable[[ItemT], tuple[Any, ...] | None],
        *names: str,
    ) -> None:
        """Call the function with ``arguments(item)`` for each item; None skips the item.

        Raises:
            ConfigurationError: It is no function that takes arguments like these ``names``.
        """
        check_callback(callback, *names)
        self._callbacks.append((CallbackQueue(callback, self._capacity, self._tasks), arguments))

    def push(self, item: ItemT) -> None:
        """Hand an item to everyone; never waits, never raises."""
        if self._streams is not None:
            for stream in list(self._streams):
                stream.push(item)
        for queue, arguments in self._callbacks:
            values = arguments(item)
            if values is not None:
                queue.push(*values)

    def close(self) -> None:
        """End every stream."""
        self._is_closed = True
        for stream in list(self._streams or ()):
            stream.close()


def check_callback(callback: object, *names: str) -> None:
    """Refuse what could never be called.

    Raises:
        ConfigurationError: Not a function, a generator, or one that takes other arguments.
    """
    if not callable(callback):
        raise ConfigurationError(f"A callback must be a function, not {callback!r}")
    if inspect.isgeneratorfunction(callback) or inspect.isasyncgenfunction(callback):
        raise ConfigurationError("A callback must not contain yield: its code would never run")
    try:
        signature = inspect.signature(callback)
    except ValueError:
        return  # a built-in function that does not say what it takes
    try:
        signature.bind(*names)
    except TypeError as error:
        name = getattr(callback, "__qualname__", type(callback).__name__)
        raise ConfigurationError(
            f"The callback {name} must take ({', '.join(names)}): {error}"
        ) from error


def is_async_function(callback: Callable[..., Any]) -> bool:
    """Return whether calling it gives a coroutine."""
    is_coroutine = inspect.iscoroutinefunction
    return is_coroutine(callback) or is_coroutine(getattr(callback, "__call__", None))  # noqa: B004 - an object with an async __call__
