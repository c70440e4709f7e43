"""Queues between the driver and the subscribers: bounded, in order, and nobody harms another."""

from __future__ import annotations

import asyncio
import gc
import threading
import uuid
from typing import Any

import pytest

from portal_sdk._core.overlay import Overlay
from portal_sdk._runtime import announcer
from portal_sdk._runtime.delivery import CallbackQueue, Stream, Subscribers
from portal_sdk._runtime.threads import run_in_thread
from portal_sdk.config import PortalConfig
from portal_sdk.errors import SlowConsumerError, StateError
from portal_sdk.models import Job
from portal_sdk.tables import LiveTable
from portal_sdk.testing import FakeProject
from tests.support.waiting import eventually


def queue(callback: Any, capacity: int = 10) -> tuple[CallbackQueue, set[Any]]:
    tasks: set[Any] = set()
    return CallbackQueue(callback, capacity, tasks), tasks


def _job_row(number: int) -> dict[str, Any]:
    row_id = str(uuid.UUID(int=number))
    return {"id": row_id, "customer_id": row_id, "status": "requested"}


async def test_a_stream_gives_what_it_has_and_then_says_what_it_missed() -> None:
    stream: Stream[int] = Stream(2)
    for item in range(5):
        stream.push(item)
    assert [await anext(stream), await anext(stream)] == [0, 1]
    with pytest.raises(SlowConsumerError) as caught:
        await anext(stream)
    assert (caught.value.dropped_count, caught.value.capacity) == (3, 2)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_status_stream_forgets_the_oldest() -> None:
    stream: Stream[int] = Stream(2, forget_oldest=True)
    for item in range(5):
        stream.push(item)
    assert [await anext(stream), await anext(stream)] == [3, 4]


async def test_a_closed_stream_delivers_what_is_queued_and_ends() -> None:
    stream: Stream[int] = Stream(5)
    stream.push(1)
    stream.close()
    stream.push(2)
    assert [item async for item in stream] == [1]


async def test_a_cancelled_reader_loses_nothing() -> None:
    stream: Stream[int] = Stream(5)
    reader = asyncio.create_task(anext(stream))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait([reader])
    stream.push(1)
    assert await anext(stream) == 1


async def test_a_forgotten_stream_is_collected() -> None:
    subscribers: Subscribers[int] = Subscribers(5, set())
    stream = subscribers.stream()
    assert subscribers
    del stream
    gc.collect()
    assert not subscribers


async def test_a_plain_function_runs_in_a_thread_in_order() -> None:
    calls: list[tuple[int, bool]] = []
    loop_thread = threading.get_ident()
    made, tasks = queue(lambda item: calls.append((item, threading.get_ident() == loop_thread)))
    for item in range(5):
        made.push(item)
    await eventually(lambda: not tasks)
    assert calls == [(item, False) for item in range(5)]


async def test_an_async_function_runs_in_the_loop_in_order() -> None:
    calls: list[tuple[int, bool]] = []
    loop_thread = threading.get_ident()

    async def callback(item: int) -> None:
        await asyncio.sleep(0)
        calls.append((item, threading.get_ident() == loop_thread))

    made, tasks = queue(callback)
    for item in range(5):
        made.push(item)
    await eventually(lambda: not tasks)
    assert calls == [(item, True) for item in range(5)]


async def test_a_plain_function_that_returns_a_coroutine_is_awaited_in_order() -> None:
    calls: list[int] = []

    async def later(item: int) -> None:
        await asyncio.sleep(0)
        calls.append(item)

    made, tasks = queue(lambda item: later(item))  # noqa: PLW0108 - a plain function is the point
    for item in range(3):
        made.push(item)
    await eventually(lambda: not tasks)
    assert calls == [0, 1, 2]


async def test_an_event_set_from_a_plain_callback_wakes_its_waiter() -> None:
    """The habit of passing event.set or queue.put_nowait goes on working."""
    event = asyncio.Event()
    made, tasks = queue(lambda _item: event.set())
    made.push(1)
    async with asyncio.timeout(5):
        await event.wait()
    await eventually(lambda: not tasks)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_raising_callback_is_counted_and_called_again(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def plain(item: int) -> None:
        calls.append(item)
        raise RuntimeError("private-value")

    async def coroutine(item: int) -> None:
        plain(item)

    caplog.set_level("INFO")
    made, tasks = queue(coroutine if is_async else plain)
    for item in range(3):
        made.push(item)
    await eventually(lambda: not tasks)
    assert (calls, made.error_count) == ([0, 1, 2], 3)
    assert "private-value" not in caplog.text


async def test_a_blocked_callback_drops_the_newest_and_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release, started = threading.Event(), threading.Event()
    calls: list[int] = []

    def block(item: int) -> None:
        calls.append(item)
        started.set()
        release.wait(10)

    made, tasks = queue(block, capacity=2)
    made.push(0)
    await eventually(started.is_set)
    for item in range(1, 6):
        made.push(item)
    release.set()
    await eventually(lambda: not tasks)
    assert (calls, made.dropped_count) == ([0, 1, 2], 3)
    assert caplog.text.count("too slow") == 1


async def test_a_cancelled_queue_does_not_wait_for_a_blocked_callback() -> None:
    release, started = threading.Event(), threading.Event()
    calls: list[int] = []

    def block(item: int) -> None:
        calls.append(item)
        started.set()
        release.wait(10)

    made, tasks = queue(block)
    made.push(0)
    made.push(1)
    await eventually(started.is_set)
    for task in list(tasks):
        task.cancel()
    await eventually(lambda: not tasks)
    release.set()
    assert calls == [0]


def test_a_table_can_be_read_in_a_callbacks_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows come and go in the portal's loop while the thread is in the middle of its reading."""
    rows = {str(number): _job_row(number) for number in range(5)}
    overlay = Overlay(lambda: {"jobs": rows})
    table = LiveTable("jobs", Job, lambda: overlay, Subscribers(10, set()))
    real = table._to_record

    def disturbed(row_id: str, row: Any) -> Job:
        rows[f"new-{row_id}"] = _job_row(100)
        return real(row_id, row)

    monkeypatch.setattr(table, "_to_record", disturbed)
    assert len(table.where(status="requested")) == 5


async def test_a_callback_that_waits_for_something_cancelled_loses_no_call() -> None:
    """The cancellation is an error of the callback; only ours ends its queue."""
    seen: list[int] = []
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()

    async def callback(number: int) -> None:
        seen.append(number)
        if number == 1:
            await cancelled

    calls, tasks = queue(callback)
    for number in (1, 2, 3):
        calls.push(number)
    await asyncio.wait(set(tasks), timeout=5)
    assert (seen, calls.error_count) == ([1, 2, 3], 1)


async def test_a_function_in_a_thread_may_raise_anything() -> None:
    """A future refuses StopIteration; whoever waits must hear of it all the same."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(run_in_thread(lambda: next(iter(()))), 5)


async def test_a_callback_may_close_its_portal() -> None:
    """It goes on after the close, and everything is closed."""
    project = FakeProject()
    jo = project.add_customer()
    done = asyncio.Event()
    async with project.portal(jo) as portal:
        await portal.ready()

        @portal.jobs.on_insert
        async def close(_job: Any) -> None:
            await portal.close()
            done.set()

        project.insert(jo, "jobs", title="last")
        await asyncio.wait_for(done.wait(), 5)
        assert portal.status.state == "closed"


async def test_a_thread_reads_and_is_told_that_it_cannot_do_more() -> None:
    """A plain callback runs in a thread: what would act behind the loop's back is refused."""
    project = FakeProject()
    jo = project.add_customer()
    async with project.portal(jo) as portal:
        await portal.ready()
        seen: list[Any] = []

        def callback(job: Job) -> None:
            seen.append((len(portal.jobs), portal.status.state, job.title))
            for act in (portal.pause, portal.resume, lambda: portal.presence("a")):
                with pytest.raises(StateError, match="event loop that entered"):
                    act()
            for work in (portal.close, portal.ready, lambda: portal.messages.send("x")):
                with pytest.raises(StateError, match="event loop that entered"):
                    asyncio.run(work())
            seen.append("done")

        portal.jobs.on_insert(callback)
        project.insert(jo, "jobs", title="a")
        await eventually(lambda: len(seen) == 2)
        assert seen == [(1, "live", "a"), "done"]
        assert portal.status.state == "live"


@pytest.mark.parametrize("is_closed", [False, True])
async def test_a_resync_with_more_changes_than_the_queue_holds_overflows_no_quick_reader(
    monkeypatch: pytest.MonkeyPatch, is_closed: bool
) -> None:
    """All are told, each once; only the pieces are as large as the queue. Closing loses none."""
    monkeypatch.setattr(announcer, "CHANGES_AT_ONCE", 20)
    project = FakeProject()
    jo = project.add_customer()
    ids = [project.insert(jo, "jobs", title="before") for _ in range(100)]
    seen: list[tuple[str, str]] = []
    capacity = 1000 if is_closed else 20
    async with project.portal(jo, config=PortalConfig(queue_capacity=capacity)) as portal:
        await portal.ready()
        portal.pause()
        for row_id in ids:
            project.update(jo, "jobs", row_id, title="after")
        project.break_continuity(jo)
        changes = portal.changes()
        portal.resume()
        async for change in changes:
            seen.append((str(change.record.id), change.source))
            if is_closed and len(seen) == 1:
                await portal.close()
            if len(seen) == 100:
                break
    assert sorted(seen) == sorted((row_id, "resync") for row_id in ids)


async def test_a_change_under_a_local_write_is_told_also_in_a_later_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announcer, "CHANGES_AT_ONCE", 1)
    project = FakeProject()
    jo = project.add_customer(name="Jo")
    ids = [project.insert(jo, "jobs", title="before") for _ in range(5)]
    async with project.portal(jo) as portal:
        await portal.ready()
        portal.pause()
        project.faults.write_refusal = (503, "", "later")
        await portal.profile.update(phone="1")
        for row_id in ids:
            project.update(jo, "jobs", row_id, title="after")
        project.update(jo, "customers", jo.id, name="Joanna")
        project.break_continuity(jo)
        changes = portal.profile.changes()
        portal.resume()
        change = await asyncio.wait_for(anext(changes), 5)
        assert change.previous is not None
        assert (change.previous.name, change.record.name) == ("Jo", "Joanna")
        assert (change.previous.phone, change.record.phone, change.source) == ("1", "1", "resync")


async def test_own_rows_that_come_back_together_are_each_inserted_once() -> None:
    """The first settles its write; the others are in the tables by then, and not told yet."""
    project = FakeProject()
    jo = project.add_customer()
    seen: dict[str, list[tuple[str, str]]] = {}
    async with project.portal(jo) as portal:
        await portal.ready()

        @portal.jobs.on_change
        async def note(change: Any) -> None:
            seen.setdefault(str(change.record.id), []).append((change.kind, change.source))

        project.faults.loses_doorbells = True
        own = [(await portal.jobs.request("Tap")).row_id for _ in range(4)]
        await eventually(lambda: portal.status.pending_writes == 0)
        project.faults.loses_doorbells = False
        rung = project.insert(jo, "jobs", title="rings")
        await eventually(lambda: rung in seen and len(portal.outbox) == 0)
    once = [("insert", "local"), ("update", "live")]
    assert seen == {**dict.fromkeys(own, once), rung: [("insert", "live")]}


@pytest.mark.parametrize("is_acked", [True, False])
async def test_every_step_of_a_row_with_a_local_write_is_told_from_the_last_one(
    is_acked: bool,
) -> None:
    """Two come in one answer, the first with the own write; none is told twice or skipped."""
    project = FakeProject()
    jo = project.add_customer()
    job_id = project.insert(jo, "jobs", title="before", status="requested")
    async with project.portal(jo) as portal:
        await portal.ready()
        steps = [portal.jobs[job_id]]

        @portal.jobs.on_update
        async def note(job: Job, previous: Job) -> None:
            assert previous == steps[-1]
            steps.append(job)

        project.faults.loses_doorbells = True
        project.faults.loses_answers = not is_acked
        await portal.jobs.cancel_request(job_id)
        await eventually(lambda: project.rows(jo, "jobs")[0]["status"] == "cancelled")
        if is_acked:
            await eventually(lambda: portal.status.pending_writes == 0)
        project.update(jo, "jobs", job_id, title="after")
        project.faults.loses_doorbells = project.faults.loses_answers = False
        last = project.insert(jo, "jobs", title="rings")
        await eventually(lambda: last in portal.jobs and len(portal.outbox) == 0)
        assert portal.metrics.callback_errors == 0
    assert [(step.status, step.title) for step in steps[-2:]] == [
        ("cancelled", "before"),
        ("cancelled", "after"),
    ]
    versions = [step.version for step in steps]
    assert versions == sorted(versions)
