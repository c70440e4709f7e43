"""The campaign turns red when portal or database are wrong: each planted defect is noticed."""

from __future__ import annotations

import asyncio
import inspect
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from portal_sdk import Portal
from portal_sdk._core import checkpoint, connection, replica, session, sync
from portal_sdk._store import sqlite
from tests.faults import campaign as campaign_module
from tests.faults import client_faults as client
from tests.faults import network_faults as network
from tests.faults import server_faults as server
from tests.faults.campaign import Campaign
from tests.faults.counters import Counters
from tests.faults.matrix import Fault
from tests.faults.proxy import FaultProxy
from tests.faults.staff import Staff
from tests.faults.world import World
from tests.feed.mutants import NUMBERS_DRAWN_EARLY
from tests.support.waiting import eventually

FAULTS, WRITES = 25, 500
AWAY_S = 7.0
Mutant = tuple[ModuleType, str, str, str, str]

NAIVE: list[Mutant] = [
    (sync, "SyncMachine", "_apply", "change.n != self.replica.n + 1", "False"),
    (
        sync,
        "SyncMachine",
        "_can_apply",
        "change.n == self.replica.n + 1",
        "change.n > self.replica.n",
    ),
]
NO_DIGEST: Mutant = (
    checkpoint,
    "Checkpoint",
    "agrees",
    "has_columns = ",
    "return True\n    has_columns = ",
)

SETTLED: Mutant = (sync, "SyncMachine", "_begin", "self._has_settled = False", "pass")


async def stay_away(world: World) -> None:
    """Nothing comes through for longer than a live portal may be behind."""
    world.proxy.is_black_hole = True
    await asyncio.sleep(AWAY_S)
    world.heal()


async def fall_silent(world: World) -> None:
    """No socket for long enough to poll, and slow answers: what is shown before them counts."""
    await eventually(lambda: all(rings(device.portal) for device in world.devices), AWAY_S)
    world.proxy.delay_s = 0.3
    world.stack.faults.refuse_connects = 503
    world.proxy.reset_all()
    await asyncio.sleep(1.5)
    world.heal()


async def join_slowly(world: World) -> None:
    """A new socket whose first answer takes its time: what is shown before it counts."""
    await eventually(lambda: all(rings(device.portal) for device in world.devices), AWAY_S)
    world.proxy.delay_s = 0.3
    world.proxy.reset_all()
    await asyncio.sleep(1.5)
    world.heal()


def rings(portal: Portal | None) -> bool:
    """Whether the portal is live by its own doorbell."""
    status = None if portal is None else portal.status
    return status is not None and (status.state, status.doorbell) == ("live", "broadcast")


SOCKET = (Fault("F1", network.reset), Fault("F1", network.close_with_a_code))
RINGS = (Fault("F10", network.drop_rings), Fault("F10", network.reorder_rings))
UNTOLD = (Fault("F13", server.change_untold), Fault("F13", server.copy_in_untold))
SILENCE = (Fault("F10", fall_silent),)
LIVES = (Fault("F4", client.restart_portal), Fault("F4", client.crash_portal))

DEFECTS: dict[str, tuple[list[Mutant], str, tuple[Fault, ...], str]] = {
    "takes any entry for the next one": (NAIVE, "postgres_changes", RINGS, "lost"),
    "does not look at the digest": ([NO_DIGEST], "broadcast", UNTOLD, "lost"),
    "does not join again": (
        [(connection, "ConnectionMachine", "_wait", 'self._deadlines["retry"] =', "_ =")],
        "broadcast", SOCKET, "stuck",
    ),
    "is always live": (
        [(session, "PortalCore", "handle_timer", "self._effects", "type(self).state = "
          "property(lambda _: SyncState.LIVE); self._effects")],
        "broadcast", (Fault("F1", stay_away),), "stale_while_live",
    ),
    "joins by an answer from before the silence": (
        [SETTLED], "broadcast", (Fault("F1", join_slowly),), "stale_while_live",
    ),
    "polls by an answer from before the silence": (
        [SETTLED, (connection, "ConnectionMachine", "_start_polling", "self.is_verified = False",
                   "pass")],
        "broadcast", SILENCE, "stale_while_live",
    ),
    "stores rows without the cursor": (
        [(sqlite, "SqliteStore", "commit", "str(commit.n)", "'0'")],
        "broadcast", LIVES, "reordered",
    ),
    "moves the cursor without storing": (
        [(sync, "SyncMachine", "_apply", "if self.replica.n > before_n:", "if False:")],
        "broadcast", LIVES, "lost",
    ),
    "forgets the last of several changes": (
        [(replica, "Replica", "apply", "self.n = change.n",
          "self.n = change.n\n    if self.n % 7 == 0: return None")],
        "polling", SOCKET[:1], "lost",
    ),
}  # fmt: skip


def plant(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change one place of the source."""
    module, class_name, method, old, new = mutant
    owner = getattr(module, class_name)
    source = textwrap.dedent(inspect.getsource(getattr(owner, method)))
    assert source.count(old) >= 1, "the code has moved on: renew this mutant"
    scope: dict[str, Any] = {}
    exec(source.replace(old, new, 1), vars(module) | {}, scope)
    monkeypatch.setattr(owner, method, scope[method])


async def seen_by_campaign(
    customer: Any, other: Any, folder: Path, doorbells: str, faults: tuple[Fault, ...]
) -> Counters:
    async with FaultProxy(customer.stack.api_url) as proxy:
        campaign = Campaign(
            customer, other, proxy, folder, seed=3, doorbells=doorbells, faults=faults,
            writer_count=3,
        )  # fmt: skip
        fault_count = {stay_away: 2, fall_silent: 8, join_slowly: 8}.get(faults[0].act, FAULTS)
        return await campaign.run(fault_count=fault_count, write_count=WRITES)


@pytest.mark.soak
@pytest.mark.parametrize("name", DEFECTS)
async def test_a_defect_of_the_portal_is_noticed(
    customer: Any, new_customer: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is counted where it belongs; what takes a rare moment, in one of four campaigns."""
    mutants, doorbells, faults, counter = DEFECTS[name]
    monkeypatch.setattr(campaign_module, "STUCK_AFTER_S", 5.0)
    monkeypatch.setattr(session.PortalCore, "state", session.PortalCore.state)
    for mutant in mutants:
        plant(mutant, monkeypatch)
    for attempt in range({fall_silent: 4}.get(faults[0].act, 1)):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        other = await new_customer()
        counters = await seen_by_campaign(customer, other, folder, doorbells, faults)
        if counters.wrong().get(counter, 0) > 0:
            return
    pytest.fail(f"not noticed: {counters}")


@pytest.fixture
async def numbers_taken_early(customer: Any) -> AsyncIterator[None]:
    """A database that numbers changes when they are written, as a sequence does."""
    database = customer.database
    usual = await database.fetchval("select pg_get_functiondef('private.flush_row'::regproc)")
    await database.execute(NUMBERS_DRAWN_EARLY)
    yield
    await database.execute(usual)
    await database.execute("drop function private.draw_early cascade")


@pytest.mark.soak
async def test_a_cursor_over_numbers_taken_at_write_is_noticed(
    customer: Any, new_customer: Any, tmp_path: Path, numbers_taken_early: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The usual recipe: ``id > cursor``. It loses what commits behind a larger number."""
    del numbers_taken_early
    monkeypatch.setattr(campaign_module, "STUCK_AFTER_S", 5.0)
    for mutant in [*NAIVE, NO_DIGEST]:
        plant(mutant, monkeypatch)
    faults = (Fault("F11", client.pause),)
    counters = await seen_by_campaign(customer, await new_customer(), tmp_path, "broadcast", faults)
    assert counters.wrong().get("lost", 0) > 0, counters


@pytest.mark.soak
async def test_a_row_that_the_customer_must_not_receive_is_noticed(
    customer: Any, new_customer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes on the wire are searched, not what the portal makes of them."""

    async def rename_wrongly(self: Any, database: Any, number: int) -> None:
        await database.execute(
            "update jobs set title = $2 where id = $1", self._any_job(), f"{self.secret} {number}"
        )

    monkeypatch.setattr(Staff, "_rename", rename_wrongly)
    counters = await seen_by_campaign(customer, await new_customer(), tmp_path, "broadcast", SOCKET)
    assert counters.wrong() == {"leaked": counters.leaked}
