"""F14: many portals lose their server at once and come back at once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from portal_sdk import Portal, PortalConfig
from tests.faults.proxy import FaultProxy
from tests.faults.scenario import note, portal_of
from tests.faults.stack_process import stack_process
from tests.faults.witness import cached_rows
from tests.faults.world import ShortTokens, tokens_of
from tests.integration.portal_sdk.conftest import Account, make_account
from tests.support.waiting import eventually

PORTALS = int(os.environ.get("PORTAL_STORM", "300"))
CUSTOMERS = 10
HOUR_S = 3600


@pytest.fixture
async def customers() -> AsyncIterator[list[Account]]:
    """The customers of a stack of its own."""
    async with stack_process() as stack:
        database = await asyncpg.connect(stack.database_url)
        yield [await make_account(stack, database) for _ in range(CUSTOMERS)]
        await database.close()


@pytest.fixture
async def proxy(customers: list[Account]) -> AsyncIterator[FaultProxy]:
    """A bad network in front of it."""
    async with FaultProxy(customers[0].stack.api_url) as made:
        yield made


@pytest.mark.soak
async def test_hundreds_of_portals_come_back_at_once(
    customers: list[Account], proxy: FaultProxy
) -> None:
    """No answer is a 5xx, nobody is stuck, and everybody has what was written meanwhile."""
    config = PortalConfig()
    tokens = [ShortTokens(each, HOUR_S) for each in customers]
    portals: list[Portal] = []
    try:
        for number in range(PORTALS):
            place = number % CUSTOMERS
            portal = portal_of(
                customers[place], proxy.url, config=config, auth=tokens_of(tokens[place])
            )
            await portal.__aenter__()
            portals.append(portal)
            await asyncio.sleep(0.01)  # arriving one by one; the storm comes later
        for portal in portals:
            await portal.ready(timeout_s=60)
        proxy.is_open = False
        proxy.reset_all()
        for each in customers:
            await each.add_job("in the storm")
        await eventually(lambda: all(p.status.state != "live" for p in portals), 60)
        errors_before = proxy.server_errors
        proxy.heal()
        began = time.monotonic()
        took_s = sorted(await asyncio.gather(*(_until_back(p, began) for p in portals)))
        figures = {
            "portals": PORTALS,
            "p50_s": round(took_s[len(took_s) // 2], 2),
            "p99_s": round(took_s[int(len(took_s) * 0.99)], 2),
            "last_s": round(took_s[-1], 2),
            "5xx": proxy.server_errors - errors_before,
        }
        note(f"F14: reconnect storm of {PORTALS}", figures)
        assert figures["5xx"] == 0, figures
        for place, each in enumerate(customers):
            rows = len(cached_rows(portals[place]))
            assert rows == 2, each.scope
    finally:
        await asyncio.gather(*(portal.close() for portal in portals))


async def _until_back(portal: Portal, began: float) -> float:
    """Wait without asking again and again: a thousand who ask are a load of their own."""
    await portal.ready(timeout_s=60)
    assert any(job.title == "in the storm" for job in portal.jobs), "live without the news"
    return time.monotonic() - began
