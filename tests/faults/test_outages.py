"""F2, F3: servers that are away, for long or without saying so, with every kind of doorbell."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from typing import Any

import pytest

from portal_sdk import Portal, PortalConfig
from tests.faults.proxy import FaultProxy
from tests.faults.scenario import note, portals_of_each_kind, shows_the_truth
from tests.faults.world import CONFIG
from tests.support.waiting import eventually, never

OUTAGE_S = float(os.environ.get("PORTAL_OUTAGE_S", "40"))
BACK_S = 5.0


@pytest.mark.soak
async def test_after_forty_seconds_away_every_portal_is_live_within_five(
    customer: Any, proxy: FaultProxy
) -> None:
    """The settings are those of production; the official client gives up after 15 s."""
    config = PortalConfig()
    async with portals_of_each_kind(customer, proxy.url, config) as portals:
        proxy.is_open = False
        proxy.reset_all()
        for portal in portals.values():
            await eventually(lambda portal=portal: portal.status.state != "live")
        await customer.add_job("meanwhile")
        await never(lambda: any(p.status.state == "live" for p in portals.values()), OUTAGE_S)
        proxy.heal()
        back_at = time.monotonic()
        waits = [_until_live(portal, back_at) for portal in portals.values()]
        took_s = [round(each, 2) for each in await asyncio.gather(*waits)]
        note(
            f"F2: {OUTAGE_S:g} s away, seconds until live", dict(zip(portals, took_s, strict=True))
        )
        assert max(took_s) <= BACK_S, dict(zip(portals, took_s, strict=True))
        for portal in portals.values():
            await shows_the_truth(portal, customer)


async def _until_live(portal: Portal, since: float) -> float:
    await eventually(lambda: portal.status.state == "live", 30)
    return time.monotonic() - since


@pytest.mark.soak
async def test_an_outage_longer_than_entries_are_kept_is_made_good(
    customer: Any, proxy: FaultProxy
) -> None:
    """The feed no longer knows what was missed: everything is read again, and nothing is lost."""
    gone = await customer.add_job("gone meanwhile")
    async with portals_of_each_kind(customer, proxy.url) as portals:
        resyncs = {name: portal.metrics.resyncs for name, portal in portals.items()}
        proxy.is_open = False
        proxy.reset_all()
        for number in range(5):
            await customer.add_job(f"meanwhile {number}")
        await customer.database.execute("delete from jobs where id = $1", gone)
        await customer.database.execute("select private.prune_sync_changes('0 seconds')")
        proxy.heal()
        for name, portal in portals.items():
            await shows_the_truth(portal, customer)
            assert portal.metrics.resyncs == resyncs[name] + 1


@pytest.mark.soak
async def test_a_server_that_answers_pings_only_is_not_called_live(
    customer: Any, proxy: FaultProxy
) -> None:
    """Within one and a half verify intervals no portal is live; afterwards all are again."""
    config = PortalConfig(verify_interval_s=6.0, heartbeat_interval_s=20.0)
    async with portals_of_each_kind(customer, proxy.url, config) as portals:
        faults = customer.stack.faults
        faults.hang = faults.http_hang = True
        hung_at = time.monotonic()
        try:
            for name, portal in portals.items():
                await eventually(
                    lambda portal=portal: portal.status.state != "live", 30, message=name
                )
            took_s = time.monotonic() - hung_at
            note(
                "F3: pings only, verify intervals until no portal is live",
                round(took_s / config.verify_interval_s, 2),
            )
            assert took_s <= 1.5 * config.verify_interval_s
            await customer.add_job("while hung")
        finally:
            faults.reset()
        for portal in portals.values():
            await shows_the_truth(portal, customer)


@pytest.mark.soak
@pytest.mark.parametrize("what", ["hang", "http_hang", "lose_doorbells"])
async def test_one_hung_path_is_found_as_well(customer: Any, proxy: FaultProxy, what: str) -> None:
    """Either only the sockets, or only HTTP, or only the rings stop: changes still arrive."""
    async with portals_of_each_kind(customer, proxy.url) as portals:
        setattr(customer.stack.faults, what, True)
        await customer.add_job("while one path hangs")
        if what == "http_hang":
            await never(lambda: False, 2 * CONFIG.verify_interval_s)
            assert all(portal.status.state != "live" for portal in portals.values())
            customer.stack.faults.reset()
        for portal in portals.values():
            await eventually(
                lambda portal=portal: any(j.title == "while one path hangs" for j in portal.jobs)
            )
        customer.stack.faults.reset()
        for portal in portals.values():
            await shows_the_truth(portal, customer)


@pytest.mark.soak
async def test_a_network_that_is_swapped_under_the_portals_costs_one_time_out(
    customer: Any, proxy: FaultProxy
) -> None:
    """Every connection is half-open for good, also the idle ones that wait to be used again."""
    config = replace(CONFIG, request_timeout_s=3.0)
    async with portals_of_each_kind(customer, proxy.url, config) as portals:
        for number in range(5):  # several connections in the pool
            await customer.add_job(f"before {number}")
        for portal in portals.values():
            await shows_the_truth(portal, customer)
        proxy.strand_all()
        swapped_at = time.monotonic()
        await customer.add_job("after")
        took_s = {}
        for name, portal in portals.items():
            await eventually(
                lambda portal=portal: (
                    portal.status.state == "live" and any(j.title == "after" for j in portal.jobs)
                ),
                60,
                message=name,
            )
            took_s[name] = round(time.monotonic() - swapped_at, 2)
        note("F1: every connection half-open, seconds until live with the news", took_s)
        detected_s = config.heartbeat_interval_s + config.heartbeat_timeout_s
        allowed_s = detected_s + config.request_timeout_s + config.backoff_cap_s + BACK_S
        assert max(took_s.values()) <= allowed_s, took_s
