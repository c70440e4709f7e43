"""The status is not ``live`` at any moment at which data does not flow."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest

from portal_sdk import Portal, PortalConfig
from portal_sdk._runtime import driver
from portal_sdk.testing import FakeProject
from tests.support.waiting import eventually

HOUR_S = 3600.0


@pytest.fixture
def slept_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let the machine sleep: the clock on the wall goes on, the one of the loop does not."""
    slept, real = [0.0], time.time
    monkeypatch.setattr(driver.time, "time", lambda: real() + slept[0])  # type: ignore[attr-defined]
    return slept


def _portal(**config: Any) -> Portal:
    project = FakeProject()
    return project.portal(project.add_customer(), config=PortalConfig(**config))


async def test_pause_has_happened_when_it_returns() -> None:
    """CONN-13: not one turn of the loop later; also not after resume, before anything was read."""
    async with _portal() as portal:
        stream = portal.statuses()
        await portal.ready()
        portal.pause()
        assert portal.status.state == "offline"
        portal.resume()
        assert portal.status.state != "live"
        portal.pause()
        portal.resume()
        await portal.ready()
        seen = [(await anext(stream)).state for _ in range(4)]
        assert "offline" in seen


async def test_a_pause_before_the_first_turn_counts() -> None:
    """Entered and paused at once: nothing is asked; resume goes on."""
    async with _portal() as portal:
        portal.pause()
        await asyncio.sleep(0.01)
        assert portal.status.state == "offline"
        portal.resume()
        await portal.ready()


async def test_an_application_that_blocked_the_loop_is_not_told_live() -> None:
    """CONN-10: the proof ran out while nobody could notice; also for a reader in a thread."""
    async with _portal(verify_interval_s=0.3) as portal:
        await portal.ready()
        time.sleep(0.35)  # noqa: ASYNC251 - that is the fault
        assert portal.status.state == "stale"
        assert "stale" in repr(portal)
        await eventually(lambda: portal.status.state == "live")


async def test_after_a_sleep_nothing_is_live_until_the_database_answered(
    slept_s: list[float],
) -> None:
    """CONN-11: known to whoever reads the status at once, to the streams within seconds."""
    async with _portal() as portal:
        await portal.ready()
        stream = portal.statuses()
        slept_s[0] = HOUR_S
        assert portal.status.state == "stale"
        assert await asyncio.to_thread(lambda: portal.status.state) == "stale"
        async with asyncio.timeout(driver.CLOCK_LOOK_S + 5):
            assert [(await anext(stream)).state for _ in range(2)] == ["stale", "live"]
        assert portal.status.state == "live"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_copy_in_a_forked_process_is_not_live() -> None:
    """Nothing reaches the child's copy; the parent's is as it was."""
    async with _portal() as portal:
        await portal.ready()
        child = os.fork()
        if child == 0:
            os._exit(0 if portal.status.state == "stale" else 1)
        _pid, result = os.waitpid(child, 0)  # noqa: ASYNC222 - it ends at once
        assert (result, portal.status.state) == (0, "live")
