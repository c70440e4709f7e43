"""Turns, whatever order of leaving, cancelling and finishing: no place is lost, none is made up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from local_stack.auth.turns import Turns

NEVER = 1_000
ticks = st.integers(0, 12) | st.just(NEVER)


@dataclass(frozen=True)
class Caller:
    """When a caller leaves or is cancelled, and how long its work takes, in turns of the loop."""

    leaves: int
    cancelled: int
    works: int


@dataclass
class Seen:
    """What happened to the callers, by their number."""

    at_work: int = 0
    most: int = 0
    begun: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)


callers = st.lists(st.builds(Caller, ticks, ticks, st.integers(0, 6)), max_size=12)


# Explaining a failure traces every line of the event loop, for minutes.
@settings(phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink))
@given(st.integers(1, 3), callers)
def test_places_are_kept_whatever_callers_do(places: int, plan: list[Caller]) -> None:
    """At most ``places`` at work, first come first served, and all are free in the end."""
    asyncio.run(_play(places, plan))


async def _play(places: int, plan: Sequence[Caller]) -> None:
    turns, seen = Turns(places, max_waiting=NEVER, max_wait_s=60), Seen()
    tasks = [asyncio.create_task(_call(turns, seen, n, one)) for n, one in enumerate(plan)]
    cancelling = [asyncio.create_task(_cancel(*pair)) for pair in zip(tasks, plan, strict=True)]
    async with asyncio.timeout(5):
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ends)
    for one in cancelling:
        one.cancel()
    assert seen.most <= places
    assert seen.begun == sorted(seen.begun)
    assert not set(seen.begun) & set(seen.left)
    for number, one in enumerate(plan):
        if one.leaves == one.cancelled == NEVER:
            assert number in seen.begun
    assert turns.waiting == 0
    async with AsyncExitStack() as held:
        for _ in range(places):
            assert not turns.is_busy
            await held.enter_async_context(turns.turn(_never))
        assert turns.is_busy


async def _call(turns: Turns, seen: Seen, number: int, plan: Caller) -> None:
    try:
        async with turns.turn(lambda: _after(plan.leaves)):
            seen.begun.append(number)
            seen.at_work += 1
            seen.most = max(seen.most, seen.at_work)
            try:
                await _after(plan.works)
            finally:
                seen.at_work -= 1
    except ClientDisconnect:
        seen.left.append(number)


async def _cancel(task: asyncio.Task[None], plan: Caller) -> None:
    await _after(plan.cancelled)
    task.cancel()


async def _after(loops: int) -> None:
    if loops == NEVER:
        await _never()
    for _ in range(loops):
        await asyncio.sleep(0)


async def _never() -> None:
    await asyncio.Event().wait()
