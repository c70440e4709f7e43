"""Running a plain function beside the event loop, however long it takes."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from portal_sdk.errors import StateError

ResultT = TypeVar("ResultT")


def check_loop(loop: asyncio.AbstractEventLoop | None) -> None:
    """Refuse a call from another thread or event loop than the portal's.

    Raises:
        StateError: It would act on the portal behind the back of its loop.
    """
    try:
        is_right = asyncio.get_running_loop() is loop
    except RuntimeError:
        is_right = False
    if not is_right:
        raise StateError(
            "Call this in the event loop that entered the portal; from a thread, such as that of a"
            " plain callback, use asyncio.run_coroutine_threadsafe or loop.call_soon_threadsafe,"
            " make the callback an async function, or use portal_sdk.blocking"
        )


async def run_in_thread(work: Callable[[], ResultT]) -> ResultT:
    """Run a function in a daemon thread of its own and return its result.

    The loop's shared pool is not used: a few functions that block would stop name lookups and
    everybody else who needs the pool. A daemon does not keep the process alive.

    Raises:
        Exception: What the function raised.

    Cancellation:
        Safe; the function goes on to its end and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[ResultT] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, StopIteration):  # a future refuses it, and would wait for ever
            future.set_exception(RuntimeError("The function raised StopIteration"))
        else:
            future.set_exception(error)

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            _tell(loop, settle, None, error)
        else:
            _tell(loop, settle, result, None)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="portal-callback", daemon=True).start()
    return await future


def _tell(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *values: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the loop ended first: nobody waits any more
        loop.call_soon_threadsafe(call, *values)
