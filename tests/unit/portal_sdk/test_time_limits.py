"""One lasting timer does what a timer for each event and request would do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portal_sdk._runtime.alarm import Alarm
from portal_sdk._runtime.time_limit import TimeLimit
from tests.support.waiting import eventually

LATEST_S = 5.0


# The alarm.


class Rings:
    """Counts, and tells of the first."""

    def __init__(self) -> None:
        self.count = 0
        self.first = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self.first.set()


async def test_the_alarm_rings_at_the_earliest_moment_it_was_set_for() -> None:
    rings, now = Rings(), asyncio.get_running_loop().time()
    alarm = Alarm(rings)
    for at in (now + 3600, now + 0.01, None, now + 7200):
        alarm.set(at)
    async with asyncio.timeout(LATEST_S):
        await rings.first.wait()
    assert asyncio.get_running_loop().time() >= now + 0.01
    alarm.set(now)  # once it has rung it is set anew
    await eventually(lambda: rings.count == 2)


async def test_a_deadline_that_moves_away_makes_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, made = asyncio.get_running_loop(), 0
    real = loop.call_at

    def call_at(*arguments: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        return real(*arguments, **options)

    alarm = Alarm(Rings())
    now = loop.time()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "call_at", call_at)
        for second in range(100):
            alarm.set(now + 100 + second)
    alarm.cancel()
    assert made == 1


async def test_a_cancelled_alarm_is_silent_and_can_be_set_again() -> None:
    rings, now = Rings(), asyncio.get_running_loop().time()
    alarm = Alarm(rings)
    alarm.set(now)
    alarm.cancel()
    await asyncio.sleep(0.01)
    assert rings.count == 0
    alarm.set(now)
    await eventually(lambda: rings.count == 1)


# The time limit.


async def late(limit: TimeLimit) -> None:
    with limit:
        await asyncio.sleep(3600)


async def test_each_request_has_its_own_limit() -> None:
    """Also one that began while another one was under way, and one after all have ended."""
    limit, loop = TimeLimit(0.1), asyncio.get_running_loop()
    with limit:
        await asyncio.sleep(0)
    began, tasks = loop.time(), list[asyncio.Task[None]]()
    ends: list[float] = []
    for _ in range(3):
        tasks.append(asyncio.create_task(late(limit)))
        tasks[-1].add_done_callback(lambda _task: ends.append(loop.time()))
        await asyncio.sleep(0.03)
    async with asyncio.timeout(LATEST_S):
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 3
    assert all(end >= began + 0.1 + 0.03 * place for place, end in enumerate(ends))
    limit.close()


async def test_a_task_that_somebody_else_cancelled_is_cancelled_and_not_late() -> None:
    limit = TimeLimit(0.05)
    task = asyncio.create_task(late(limit))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()

    async def both() -> None:
        me = asyncio.current_task()
        assert me is not None
        with limit:
            try:
                await asyncio.sleep(3600)
            finally:
                me.cancel()  # in the same moment

    task = asyncio.create_task(both())
    await asyncio.wait([task])
    assert task.cancelled()
    limit.close()


async def test_a_task_that_ends_slowly_is_late_once() -> None:
    """Another one is late meanwhile; cancelled twice, the first would be cancelled for good."""
    limit, is_late = TimeLimit(0.02), asyncio.Event()

    async def slow() -> None:
        with limit:
            try:
                await asyncio.sleep(3600)
            finally:
                await is_late.wait()

    first = asyncio.create_task(slow())
    await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError):
        await late(limit)
    is_late.set()
    with pytest.raises(TimeoutError):
        await first
    limit.close()


async def test_a_late_task_goes_on_as_if_nothing_had_cancelled_it() -> None:
    limit = TimeLimit(0.01)
    with pytest.raises(TimeoutError):
        await late(limit)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    with limit:
        await asyncio.sleep(0)
    limit.close()


async def test_a_limit_is_for_tasks() -> None:
    outcome: list[Exception] = []

    def enter() -> None:
        try:
            TimeLimit(1.0).__enter__()
        except RuntimeError as error:
            outcome.append(error)

    asyncio.get_running_loop().call_soon(enter)
    await eventually(lambda: bool(outcome))
    assert "what a task does" in str(outcome[0])
