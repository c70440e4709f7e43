"""The fault matrix against the real stack, for each doorbell: every counter of wrongs is zero."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from portal_sdk._core.checkpoint import Checkpoint
from portal_sdk._core.replica import Replica
from portal_sdk._publisher import Publisher
from tests.faults import campaign as campaign_module
from tests.faults import network_faults as network
from tests.faults.campaign import Campaign
from tests.faults.matrix import DOORBELLS, Fault
from tests.faults.proxy import FaultProxy
from tests.support.waiting import eventually

SEED = int(os.environ.get("PORTAL_FAULT_SEED", "1"))


@pytest.mark.slow
@pytest.mark.parametrize("doorbells", DOORBELLS)
async def test_no_fault_loses_repeats_reorders_or_leaks(
    account: Any, new_account: Any, tmp_path: Path, doorbells: str
) -> None:
    """A short run for each doorbell; the long one is tests/faults/soak.py."""
    async with FaultProxy(account.stack.api_url) as proxy:
        campaign = Campaign(
            account, await new_account(), proxy, tmp_path, seed=SEED, doorbells=doorbells
        )
        counters = await campaign.run(fault_count=15, write_count=300)
    assert counters.wrong() == {}, (SEED, counters.details)
    assert counters.faults >= 15
    assert counters.changes_seen > 0


PLANTED: Any = {
    "forgets a removal": ("_remove", "lost"),
    "hands a change out twice": ("_publish", "applied_twice"),
}

# Nothing that makes a portal read everything again: a snapshot tells no change twice.
CUTS = (Fault("F1", network.reset), Fault("F1", network.close_with_a_code))


@pytest.mark.slow
@pytest.mark.parametrize("fault", PLANTED)
async def test_the_matrix_notices_a_portal_that_is_wrong(
    account: Any, new_account: Any, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A witness that finds nothing must be able to find something."""
    method, counter = PLANTED[fault]
    owner: type = {"_remove": Replica, "_publish": Publisher}[method]
    broken = _forget if owner is Replica else _twice(Publisher._publish)
    # The digest would heal the portal before it is judged, if it had the time.
    monkeypatch.setattr(Checkpoint, "agrees", lambda *_: True)
    monkeypatch.setattr(owner, method, broken)
    monkeypatch.setattr(campaign_module, "STUCK_AFTER_S", 2.0)
    async with FaultProxy(account.stack.api_url) as proxy:
        campaign = Campaign(
            account, await new_account(), proxy, tmp_path, seed=SEED, doorbells="automatic",
            faults=CUTS,
        )  # fmt: skip
        job_id = await account.add_job("Taken away for good")
        removing = asyncio.create_task(_take_away(account, campaign, job_id))
        counters = await campaign.run(fault_count=0, write_count=80)
        await removing
    assert counters.wrong()[counter] > 0


async def _take_away(account: Any, campaign: Campaign, job_id: Any) -> None:
    """Delete a job that the portal shows: what staff hide by chance may come back by chance."""

    def is_shown() -> bool:
        portal = campaign._world.devices[0].portal
        return portal is not None and str(job_id) in {str(job.id) for job in portal.jobs}

    await eventually(is_shown)
    connection = await asyncpg.connect(account.stack.database_url)
    try:
        await connection.execute("update jobs set deleted_at = now() where id = $1", job_id)
    finally:
        await connection.close()


def _forget(*_arguments: Any) -> None:
    """Leave the row where it is."""


def _twice(publish: Any) -> Any:
    def both(self: Publisher, *arguments: Any) -> None:
        publish(self, *arguments)
        publish(self, *arguments)

    return both
