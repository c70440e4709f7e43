"""F11: callbacks that raise or block, streams that nobody reads, frames of megabytes."""

from __future__ import annotations

import math
import threading
import types
from dataclasses import replace
from typing import Any

import pytest

from portal_sdk import PortalConfig, SlowConsumerError
from tests.faults.frames import TEXT, Frame
from tests.faults.network_faults import BIG_FRAME_BYTES, send_json
from tests.faults.proxy import FaultProxy
from tests.faults.scenario import portal_of, portals_of_each_kind, shows_the_truth
from tests.faults.world import CONFIG
from tests.support.waiting import eventually, never

BLOCKED_S = 60.0
STEP_S = 0.9


@pytest.mark.soak
async def test_a_callback_that_blocks_for_a_minute_or_raises_harms_only_itself(
    customer: Any, proxy: FaultProxy
) -> None:
    """Every kind of portal stays live throughout, and other callbacks get every change."""
    release = threading.Event()
    seen: dict[str, list[str]] = {}
    jobs = [await customer.add_job() for _ in range(3)]

    def block(_change: Any) -> None:
        release.wait(BLOCKED_S)

    def fail(_change: Any) -> None:
        raise RuntimeError("from the application")

    async with portals_of_each_kind(customer, proxy.url, PortalConfig()) as portals:
        for name, portal in portals.items():
            titles = seen.setdefault(name, [])
            portal.on_change(block)
            portal.on_change(fail)
            portal.on_change(lambda change, titles=titles: titles.append(change.record.title))
        wanted = []
        try:
            for number in range(math.ceil(BLOCKED_S / STEP_S)):
                await customer.rename_job(jobs[number % 3], str(number))
                wanted.append(str(number))
                await never(
                    lambda: any(portal.status.state != "live" for portal in portals.values()),
                    STEP_S,
                )
            for titles in seen.values():
                await eventually(lambda titles=titles: titles == wanted)
        finally:
            release.set()
        for portal in portals.values():
            assert portal.metrics.callback_errors == len(wanted)
            await shows_the_truth(portal, customer)


@pytest.mark.soak
async def test_a_stream_that_nobody_reads_is_bounded_and_says_what_it_lost(
    customer: Any, proxy: FaultProxy
) -> None:
    """Ten thousand changes wait; then the reader is told, and the rows are right all the same."""
    job = await customer.add_job()
    config = replace(CONFIG, queue_capacity=10_000)
    async with portal_of(customer, proxy.url, config=config) as portal:
        await portal.ready(timeout_s=30)
        stream = portal.changes()
        await customer.database.execute(
            "do $$ begin for i in 1..11000 loop"
            f" update public.jobs set title = i::text where id = '{job}'; end loop; end $$"
        )
        await shows_the_truth(portal, customer, 60)
        for _ in range(10_000):
            await anext(stream)
        with pytest.raises(SlowConsumerError):
            await anext(stream)


@pytest.mark.soak
async def test_frames_over_a_mebibyte_are_read_or_made_good(
    customer: Any, proxy: FaultProxy
) -> None:
    """Foreign big frames are ignored; a portal that refuses them reads the feed instead."""
    world: Any = types.SimpleNamespace(proxy=proxy, account=customer)
    for limit in (CONFIG.max_frame_bytes, 2**20):
        config = replace(CONFIG, max_frame_bytes=limit)
        async with portals_of_each_kind(customer, proxy.url, config) as portals:
            body = {"type": "broadcast", "event": "other", "payload": "x" * BIG_FRAME_BYTES}
            await send_json(world, {"event": "broadcast", "payload": body})
            await proxy.send_frame(Frame(TEXT, b'"' + b"x" * BIG_FRAME_BYTES + b'"'))
            await customer.add_job("after the frame")
            for portal in portals.values():
                await shows_the_truth(portal, customer)


@pytest.mark.soak
async def test_an_answer_of_many_mebibytes_is_read_by_every_kind_of_portal(
    customer: Any, proxy: FaultProxy
) -> None:
    """Rows of 10,000 characters by the hundred, written at once and missed at once."""
    async with portals_of_each_kind(customer, proxy.url) as portals:
        await customer.database.execute(
            "insert into jobs (customer_id, title, description)"
            " select $1, 'big', repeat('x', 10000) from generate_series(1, 400)",
            customer.customer_id,
        )
        for portal in portals.values():
            await shows_the_truth(portal, customer)
        proxy.is_open = False
        proxy.reset_all()
        await customer.database.execute(
            "update jobs set title = 'bigger' where customer_id = $1", customer.customer_id
        )
        proxy.heal()
        for portal in portals.values():
            await shows_the_truth(portal, customer)
