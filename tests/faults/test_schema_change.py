"""F12: columns come, change their names and go while portals look."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.proxy import FaultProxy
from tests.faults.scenario import portals_of_each_kind, shows_the_truth

STEPS = (
    "alter table public.jobs add column season text not null default 'spring'",
    "alter table public.jobs rename column season to time_of_year",
    "alter table public.jobs alter created_at type timestamptz using created_at - interval '1 day'",
    "alter table public.jobs drop column time_of_year",
)


@pytest.mark.soak
@pytest.mark.parametrize("is_busy", [True, False], ids=["while staff write", "in the quiet"])
async def test_columns_come_and_go_under_a_portal(
    customer: Any, proxy: FaultProxy, is_busy: bool
) -> None:
    """Rows are shown as the database has them, also those that nobody has written since."""
    job, _other = await customer.add_job("old"), await customer.add_job("never touched")
    async with portals_of_each_kind(customer, proxy.url) as portals:
        for number, step in enumerate(STEPS):
            await customer.database.execute(step)
            if is_busy:
                await customer.rename_job(job, f"after step {number}")
            for portal in portals.values():
                await shows_the_truth(portal, customer)
