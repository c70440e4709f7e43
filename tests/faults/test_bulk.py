"""F7: tens of thousands of rows in one transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.faults.proxy import FaultProxy
from tests.faults.scenario import portals_of_each_kind, shows_the_truth
from tests.faults.world import CONFIG

ROWS = 50_000


@pytest.mark.soak
async def test_fifty_thousand_rows_at_once_arrive_while_portals_look(
    customer: Any, proxy: FaultProxy
) -> None:
    """Inserted in one transaction, changed in one, taken away in one; others' portals go on."""
    config = replace(CONFIG, request_timeout_s=60.0, verify_interval_s=90.0, pull_limit=5000)
    async with portals_of_each_kind(customer, proxy.url, config) as portals:
        for statement in (
            "insert into jobs (customer_id, title)"
            f" select $1, 'bulk ' || i from generate_series(1, {ROWS}) as i",
            "delete from jobs where customer_id = $1",
        ):
            await customer.database.execute(statement, customer.customer_id, timeout=300)
            for portal in portals.values():
                await shows_the_truth(portal, customer, 180)
        for portal in portals.values():
            assert portal.metrics.gaps == 0
