"""F15: devices that are killed or cut off do not stay in the room as ghosts."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.proxy import FaultProxy
from tests.faults.scenario import note, portal_of
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
GHOST_TTL_S = 62.0
"""The server drops a socket that was silent for 60 s."""
KILLED_TTL_S = 5.0


def names(room: Any, key: str) -> list[str]:
    """What the devices of this user call themselves."""
    member = room.members.get(key)
    return [] if member is None else sorted(meta["name"] for meta in member.metas)


@pytest.mark.soak
async def test_a_killed_device_of_three_leaves_and_the_user_stays_one_member(customer: Any) -> None:
    """kill -9 closes the socket; the last device to go takes the member along."""
    url, key = customer.stack.api_url, customer.stack.keys.publishable
    async with portal_of(customer, url) as watcher:
        await watcher.ready(timeout_s=30)
        async with watcher.presence("lobby") as room:
            processes = []
            for name in ("phone", "tablet", "laptop"):
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.faults.present_portal", url, key,
                    customer.email, name, cwd=ROOT, stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                processes.append(process)
            left = ["laptop", "phone", "tablet"]
            await eventually(lambda: names(room, customer.user_id) == left, 30)
            assert len(room.members) == 1
            for process, name in zip(processes, ("phone", "tablet", "laptop"), strict=True):
                process.kill()
                await process.wait()
                killed_at = time.monotonic()
                left.remove(name)
                await eventually(
                    lambda: names(room, customer.user_id) == left,
                    KILLED_TTL_S,
                )
                note(f"F15: ghost of a killed {name}, s", round(time.monotonic() - killed_at, 3))
            assert room.members == {}


@pytest.mark.soak
async def test_a_device_behind_a_split_is_a_ghost_for_a_minute_at_most(
    customer: Any, proxy: FaultProxy
) -> None:
    """Its packets get lost; afterwards it is back, once."""
    async with (
        portal_of(customer, customer.stack.api_url) as here,
        portal_of(customer, proxy.url) as there,
    ):
        await asyncio.gather(here.ready(timeout_s=30), there.ready(timeout_s=30))
        async with here.presence("lobby", {"name": "here"}) as room:
            async with there.presence("lobby", {"name": "there"}) as far:
                both = ["here", "there"]
                await eventually(lambda: names(room, customer.user_id) == both)
                proxy.strand_all()
                proxy.is_open = False
                split_at = time.monotonic()
                await eventually(lambda: names(room, customer.user_id) == ["here"], GHOST_TTL_S)
                note("F15: ghost behind a split, s", round(time.monotonic() - split_at, 1))
                await eventually(lambda: not far.is_joined)
                proxy.heal()
                await eventually(lambda: names(room, customer.user_id) == both, 30)
                await eventually(lambda: names(far, customer.user_id) == both, 30)
            await eventually(lambda: names(room, customer.user_id) == ["here"])
