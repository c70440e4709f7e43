"""What the scenarios share: portals behind the proxy, and waiting until they show the truth."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from portal_sdk import Portal, PortalConfig
from tests.faults.counters import Counters
from tests.faults.matrix import DOORBELLS
from tests.faults.oracle import Truth, read_as_user
from tests.faults.witness import Witness, cached_rows
from tests.faults.world import CONFIG, password_of
from tests.support.waiting import eventually

BACK_WITHIN_S = 30.0


RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "fault-scenarios.json"


def note(name: str, value: Any) -> None:
    """Write down what a scenario measured, beside what others did."""
    found = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    found[name] = {"value": value, "measured_at": measured_at}
    RESULT.write_text(json.dumps(dict(sorted(found.items())), indent=2) + "\n")


def portal_of(
    account: Any, url: str, *, doorbells: str = "automatic", store: Path | None = None,
    config: PortalConfig = CONFIG, auth: Any = None,
) -> Portal:  # fmt: skip
    """Return a portal of this customer that connects through ``url``."""
    return Portal(
        url, account.stack.keys.publishable, auth=auth or password_of(account), store=store,
        config=replace(config, doorbells=DOORBELLS[doorbells]),
    )  # fmt: skip


async def truth_of(account: Any) -> Truth:
    """Read what this customer may see now."""
    return await read_as_user(account.stack.database_url, account.user_id, account.scope)


async def shows_the_truth(portal: Portal, account: Any, within_s: float = BACK_WITHIN_S) -> None:
    """Wait until the portal is live and shows exactly what its customer may see."""

    async def is_equal() -> bool:
        truth = await truth_of(account)
        if portal.status.state != "live" or cached_rows(portal) != truth.rows:
            return False
        return portal._core.replica.n == truth.n

    await eventually(is_equal, within_s, message=f"the truth is shown; {portal.status}")


@contextlib.asynccontextmanager
async def portals_of_each_kind(
    account: Any, url: str, config: PortalConfig = CONFIG
) -> AsyncIterator[dict[str, Portal]]:
    """Open one portal for each kind of doorbell, live and each with its witness."""
    async with contextlib.AsyncExitStack() as stack:
        portals: dict[str, Portal] = {}
        counters = Counters()
        for name in DOORBELLS:
            portal = portal_of(account, url, doorbells=name, config=config)
            portals[name] = await stack.enter_async_context(portal)
            witness = Witness(str(account.customer_id), counters, set())
            witness.follow(portal)
            stack.push_async_callback(witness.stop)
        for portal in portals.values():
            await portal.ready(timeout_s=BACK_WITHIN_S)
        yield portals
        assert counters.wrong() == {}, counters.details
