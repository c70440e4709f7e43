"""What subscribers are told forms a chain: each change of a row starts from the one told before.

Random writes of the customer and the staff, lost answers and doorbells, cuts, pauses and resyncs,
with minutes passing at once. At the end what was told equals the tables, and those the project.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import pytest

from portal_sdk import Change, PortalConfig, StateError
from portal_sdk.testing import FakeProject, manual_clock

STEPS = 60
Rows = dict[tuple[str, str], Any]


def shown(portal: Any) -> Rows:
    tables = (portal.jobs, portal.messages, portal.loyalty, portal.profile)
    return {(table.name, str(row.id)): row for table in tables for row in table}


def take(told: Rows, change: Change[Any]) -> None:
    key = (change.table, str(change.record.id))
    last = told.get(key)
    assert (change.kind == "insert") == (last is None), (change.kind, change.source)
    if change.kind == "delete":
        del told[key]
        return
    assert change.previous == last
    assert change.record != last
    told[key] = change.record


class Life:
    """One random life of a portal."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.project = FakeProject()
        self.jo = self.project.add_customer(name="Jo", phone="0")
        self.project.insert(
            self.jo, "loyalty_transactions", entry_no=1, points=50, balance_after=50
        )
        self.jobs = [self._add_job() for _ in range(3)]

    def _add_job(self) -> str:
        return self.project.insert(self.jo, "jobs", title="Tap", status="requested")

    def _move_points(self, points: int) -> None:
        rows = self.project.rows(self.jo, "loyalty_transactions")
        latest = max(rows, key=lambda row: row["entry_no"])
        balance = latest["balance_after"] + points
        if balance >= 0:
            entry_no = latest["entry_no"] + 1
            self.project.insert(
                self.jo, "loyalty_transactions",
                entry_no=entry_no, points=points, balance_after=balance,
            )  # fmt: skip

    async def write(self, portal: Any) -> None:
        number = str(self.chance.randrange(5))
        requested = portal.jobs.where(status="requested")
        match self.chance.randrange(5):
            case 0:
                await portal.messages.send(number)
            case 1:
                await portal.jobs.request(number)
            case 2 if requested:
                await portal.jobs.cancel_request(self.chance.choice(requested).id)
            case 3:
                await portal.loyalty.redeem(self.chance.choice([1, 500]), reason="Coffee")
            case _:
                await portal.profile.update(phone=number)

    def staff_writes(self) -> None:
        number = str(self.chance.random())
        match self.chance.randrange(5):
            case 0:
                self.jobs.append(self._add_job())
            case 1:
                self._move_points(self.chance.choice([-20, 300]))
            case 2:
                self.project.update(self.jo, "customers", self.jo.id, phone=f"s{number[:3]}")
            case _:
                row_id = self.chance.choice(self.jobs)
                self.project.update(self.jo, "jobs", row_id, title=number)

    async def disturb(self, portal: Any, clock: Any) -> None:
        faults = self.project.faults
        match self.chance.randrange(6):
            case 0:
                faults.loses_answers = not faults.loses_answers
            case 1:
                faults.loses_doorbells = not faults.loses_doorbells
            case 2:
                self.project.cut()
            case 3:
                self.project.break_continuity(self.jo)
            case 4:
                portal.pause()
                await asyncio.sleep(0)
                portal.resume()
            case _:
                await clock.advance(self.chance.choice([0.1, 1, 5]))

    async def step(self, portal: Any, clock: Any) -> None:
        draw = self.chance.random()
        if draw < 0.45:
            with contextlib.suppress(StateError):  # the customer is not known at this moment
                await self.write(portal)
        elif draw < 0.7:
            self.staff_writes()
        else:
            await self.disturb(portal, clock)
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)
            assert all(entry.balance_after >= 0 for entry in portal.loyalty), "OUT-15"
        for write in portal.outbox.refused:
            again = self.chance.random() < 0.3
            (portal.outbox.retry if again else portal.outbox.discard)(write)

    async def settle(self, portal: Any, clock: Any) -> None:
        self.project.faults.loses_answers = self.project.faults.loses_doorbells = False
        for _ in range(12):
            await clock.advance(30)
            for write in portal.outbox.refused:
                portal.outbox.discard(write)
            if not len(portal.outbox) and portal.status.state == "live":
                return
        pytest.fail(f"not settled: {portal.status}, {list(portal.outbox)}")


@pytest.mark.parametrize("seeds", [range(12), range(12, 24)], ids=str)
async def test_changes_are_told_each_once_and_in_a_chain(seeds: range) -> None:
    for seed in seeds:
        life = Life(seed)
        config = PortalConfig(queue_capacity=5_000)
        async with manual_clock() as clock, life.project.portal(life.jo, config=config) as portal:
            await portal.ready()
            told, changes = shown(portal), portal.changes()
            for _ in range(STEPS):
                await life.step(portal, clock)
            await life.settle(portal, clock)
            tables = shown(portal)
            versions = {str(row.id): row.version for row in portal.jobs}
            rows = life.project.rows(life.jo, "jobs")
        async for change in changes:
            take(told, change)
        assert told == tables, seed
        assert versions == {row["id"]: row["version"] for row in rows}, seed
