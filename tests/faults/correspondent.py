"""A customer who writes messages all the time, whatever happens to the device meanwhile."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import asyncpg

from portal_sdk import PortalError, WriteState
from tests.faults.counters import Counters
from tests.faults.world import Device
from tests.support.waiting import eventually

PAUSE_S = 0.4


class Correspondent:
    """Sends numbered messages from one device; each must be in effect once, or refused.

    The device keeps its outbox in a file, so a crash is no excuse.
    """

    def __init__(
        self, device: Device, account: Any, chance: random.Random, counters: Counters
    ) -> None:
        self._device, self._account, self._random = device, account, chance
        self._counters = counters
        self._sent: list[int] = []
        self._refused: set[int] = set()
        self._number = 0

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(self._random.random() * PAUSE_S)
            portal = self._device.portal
            if portal is None:
                continue
            self._number += 1
            try:
                await portal.messages.send(_body(self._number))
            except PortalError:
                continue  # closed, or nobody is signed in: the application was told
            self._sent.append(self._number)

    async def judge(self, within_s: float) -> None:
        """With everything healed, wait for an empty outbox and count the effects."""
        portal, counters = self._device.portal, self._counters
        assert portal is not None
        try:
            await eventually(
                lambda: (
                    # Before anybody is signed in nobody knows whose writes are in the store.
                    portal.status.state == "live"
                    and all(write.state is WriteState.REFUSED for write in portal.outbox)
                ),
                within_s,
            )
        except AssertionError:
            counters.stuck += 1
            counters.details.append(f"in the outbox: {[write.state for write in portal.outbox]}")
        for write in portal.outbox.refused:
            self._refused.add(int(str(write.values["body"]).rpartition(" ")[2]))
            portal.outbox.discard(write)
        await self._count()

    async def _count(self) -> None:
        connection = await asyncpg.connect(self._account.stack.database_url)
        try:
            rows = await connection.fetch(
                "select body from messages where customer_id = $1 and sender = 'customer'"
                " order by created_at, body",
                self._account.customer_id,
            )
        finally:
            await connection.close()
        found = [int(row["body"].rpartition(" ")[2]) for row in rows]
        wanted = [number for number in self._sent if number not in self._refused]
        counters = self._counters
        counters.customer_writes = len(wanted)
        counters.refused_writes = len(self._refused)
        missing = set(wanted) - set(found)
        repeated = {number for number in found if found.count(number) > 1}
        contradicted = self._refused & set(found)
        counters.lost += len(missing)
        counters.applied_twice += len(repeated) + len(contradicted)
        counters.reordered += found != sorted(found)
        for what, numbers in (
            ("missing", missing), ("repeated", repeated), ("refused, but there", contradicted),
        ):  # fmt: skip
            if numbers:
                counters.details.append(f"messages {what}: {sorted(numbers)}")


def _body(number: int) -> str:
    return f"message {number:06d}"
