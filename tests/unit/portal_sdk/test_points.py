"""Points that are redeemed before the ledger is known, or while it is read anew."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from portal_sdk._store.protocol import SCHEMA_VERSION
from portal_sdk.testing import FakeProject
from tests.support.waiting import eventually

BUSY = (503, "", "later")


@pytest.mark.spec("OUT-15")
async def test_a_redemption_that_outlived_its_ledger_appears_with_the_first_snapshot(
    tmp_path: Path,
) -> None:
    """The file of an older version: its writes are kept, its rows are read again."""
    project, path = FakeProject(), tmp_path / "portal.db"
    jo = project.add_customer()
    project.insert(jo, "loyalty_transactions", entry_no=1, points=50, balance_after=50)
    project.faults.write_refusal = BUSY
    async with project.portal(jo, store=path) as portal:
        await portal.ready()
        await portal.loyalty.redeem(20, reason="Coffee")
        assert portal.loyalty.balance == 30
    with sqlite3.connect(path) as raw:
        raw.execute(f"pragma user_version = {SCHEMA_VERSION - 1}")
    raw.close()
    async with project.portal(jo, store=path) as portal:
        changes = portal.loyalty.changes()
        await portal.ready()
        assert portal.loyalty.balance == 30
        told = await asyncio.wait_for(anext(changes), 5)
        assert (told.kind, told.source, told.record.balance_after) == ("insert", "local", 30)
        project.faults.write_refusal = None
        await eventually(lambda: len(portal.outbox) == 0)
        told = await asyncio.wait_for(anext(changes), 5)
        assert (told.kind, told.record.balance_after) == ("update", 30)


@pytest.mark.spec("OUT-15")
async def test_a_redemption_is_shown_as_before_while_everything_is_read_anew() -> None:
    project = FakeProject()
    jo = project.add_customer()
    project.insert(jo, "loyalty_transactions", entry_no=1, points=50, balance_after=50)
    project.faults.write_refusal = BUSY
    async with project.portal(jo) as portal:
        await portal.ready()
        changes = portal.loyalty.changes()
        await portal.loyalty.redeem(20, reason="Coffee")
        project.break_continuity(jo)
        project.insert(jo, "loyalty_transactions", entry_no=2, points=5, balance_after=55)
        await eventually(lambda: portal.loyalty.balance == 35)
        assert portal.metrics.resyncs == 1
        told = [await asyncio.wait_for(anext(changes), 5) for _ in range(3)]
        assert sorted((c.kind, c.record.points, c.record.balance_after) for c in told) == [
            ("insert", -20, 30), ("insert", 5, 55), ("update", -20, 35),
        ]  # fmt: skip
