"""Writes of two devices while the network and the servers fail at random; the database judges."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from portal_sdk import PortalConfig
from tests.support.waiting import eventually

WRITES = 30


@pytest.mark.slow
@pytest.mark.spec("OUT-6")
async def test_every_write_is_in_effect_once_and_in_order(
    account: Any, quick: PortalConfig, tmp_path: Any
) -> None:
    """Sixty messages and thirty redemptions through refusals, delays, cuts and a restart."""
    chance = random.Random(5)
    faults = account.stack.faults
    await account.database.execute(
        "insert into loyalty_transactions (customer_id, points, kind) values ($1, 1000, 'award')",
        account.customer_id,
    )

    async def storm() -> None:
        while True:
            faults.http_refuse = chance.choice([None, None, None, 500, 503])
            faults.http_delay_s = chance.choice([0.0, 0.0, 0.03])
            if chance.random() < 0.1:
                faults.drop_sockets()
            await asyncio.sleep(0.05)  # the rhythm of the storm, not a wait for anything

    async def write(name: str) -> None:
        for first in range(0, WRITES, 10):  # three lives of one device
            async with account.portal(config=quick, store=tmp_path / f"{name}.db") as portal:
                await portal.ready(timeout_s=30)
                for number in range(first, first + 10):
                    await portal.messages.send(f"{name} {number}")
                    if name == "phone":
                        await portal.loyalty.redeem(10, reason=str(number))
                    await asyncio.sleep(chance.random() * 0.03)

    weather = asyncio.create_task(storm())
    try:
        await asyncio.gather(write("phone"), write("laptop"))
    finally:
        weather.cancel()
        await asyncio.wait([weather])
        faults.reset()
    for name in ("phone", "laptop"):
        async with account.portal(config=quick, store=tmp_path / f"{name}.db") as portal:
            await portal.ready(timeout_s=30)
            await eventually(lambda portal=portal: len(portal.outbox) == 0, 30)
    rows = await account.database.fetch(
        "select body from messages where customer_id = $1 order by created_at",
        account.customer_id,
    )
    bodies = [row["body"] for row in rows]
    for name in ("phone", "laptop"):
        own = [body for body in bodies if body.startswith(name)]
        assert own == [f"{name} {number}" for number in range(WRITES)]
    redeemed = await account.database.fetch(
        "select reason, count(*) as times from loyalty_transactions"
        " where customer_id = $1 and kind = 'redeem' group by reason",
        account.customer_id,
    )
    assert {row["reason"]: row["times"] for row in redeemed} == {
        str(number): 1 for number in range(WRITES)
    }
