"""Wait for a fact instead of for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
FIRST_PAUSE_S = 0.002
LONGEST_PAUSE_S = 0.1


async def eventually(
    predicate: Callable[[], T | Awaitable[T]],
    timeout_s: float = 10,
    *,
    message: str = "",
    swallow: tuple[type[BaseException], ...] = (AssertionError,),
) -> T:
    """Call `predicate` until it returns something true; return that.

    Args:
        predicate: Plain or async callable. An `AssertionError` from it means "not yet", so it may
            be written with asserts.
        timeout_s: Seconds until the wait fails.
        message: What was expected, for the failure.
        swallow: Exceptions that mean "not yet".

    Raises:
        AssertionError: The deadline passed; shows the last answer or the last exception.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = FIRST_PAUSE_S
    while True:
        last: object
        try:
            answer = predicate()
            value = await answer if inspect.isawaitable(answer) else answer
        except swallow as error:
            last, cause = error, error
        else:
            if value:
                return value
            last, cause = value, None
        if time.monotonic() > deadline:
            what = message or getattr(predicate, "__name__", "the condition")
            raise AssertionError(f"not within {timeout_s:g} s: {what}; last: {last!r}") from cause
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)


async def never(
    predicate: Callable[[], object | Awaitable[object]], during_s: float = 0.3, *, message: str = ""
) -> None:
    """Check that `predicate` stays false for a while; for facts that have no end to wait for."""
    deadline = time.monotonic() + during_s
    while time.monotonic() < deadline:
        answer = predicate()
        value = await answer if inspect.isawaitable(answer) else answer
        assert not value, f"happened: {message or predicate!r}: {value!r}"
        await asyncio.sleep(0.01)
