"""The loop behind the blocking facade."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from portal_sdk import PortalClosedError
from portal_sdk._runtime import loop_thread
from portal_sdk._runtime.loop_thread import LoopThread


def test_a_call_that_comes_while_the_loop_ends_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One thread closes the portal while another one asks it something."""
    monkeypatch.setattr(loop_thread, "ALIVE_CHECK_S", 0.05)
    thread = LoopThread("portal-test")
    ends, has_asked = threading.Event(), threading.Event()

    def end() -> None:
        thread._loop.stop()
        ends.set()
        has_asked.wait(5)

    def ask() -> None:
        with pytest.raises(PortalClosedError):
            thread.run(lambda: asyncio.sleep(3600))

    thread._loop.call_soon_threadsafe(end)
    assert ends.wait(5)
    asking = threading.Thread(target=ask)
    asking.start()
    while not thread._loop._ready:  # type: ignore[attr-defined] # what was asked is queued
        time.sleep(0.001)
    has_asked.set()
    asking.join(10)
    assert not asking.is_alive()


def test_a_time_out_of_the_work_itself_is_told_as_it_is() -> None:
    thread = LoopThread("portal-test")

    async def late() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        thread.run(late)
    thread.stop()
