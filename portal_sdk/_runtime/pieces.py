"""Carrying out long work a piece at a time, so that the event loop is held up for a moment only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import TypeVar

ResultT = TypeVar("ResultT")


async def run_in_pieces(
    work: Generator[None, None, ResultT], is_wanted: Callable[[], bool]
) -> ResultT | None:
    """Do the work, with a turn of the loop for everybody else after each piece.

    Args:
        work: Yields after each piece, and returns the result.
        is_wanted: Asked before each piece. What the work looks at may only change after this has
            become false.

    Returns:
        The result, or None if it was not wanted any more.

    Raises:
        Exception: What the work raised.

    Cancellation:
        Safe; the rest of the work is not done.
    """
    while is_wanted():
        try:
            next(work)
        except StopIteration as end:
            result: ResultT = end.value
            return result
        await asyncio.sleep(0)
    work.close()
    return None
