"""The blocking portal against the real stack, from plain threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from portal_sdk import PasswordAuth, PortalClosedError, StateError, WriteRefusedError, blocking


def open_portal(account: Any, **settings: Any) -> blocking.Portal:
    auth = PasswordAuth(account.email, "portal-demo")
    return blocking.Portal(
        account.stack.api_url, account.stack.keys.publishable, auth=auth, **settings
    )


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


async def test_a_script_reads_writes_and_follows(account: Any) -> None:
    """Rows, a write with synced(), an iterator, a callback on a worker thread, and metrics."""
    await account.add_job("a")

    def script() -> dict[str, Any]:
        seen: dict[str, Any] = {"threads": set()}
        with open_portal(account) as portal:
            portal.ready()
            portal.messages.on_insert(
                lambda message: seen["threads"].add(threading.current_thread().name)
            )
            seen["titles"] = [job.title for job in portal.jobs]
            seen["view"] = [job.title for job in portal.jobs.view(lambda job: job.title == "a")]
            groups = portal.jobs.group_by(lambda job: job.status)
            seen["groups"] = {key: len(group) for key, group in groups.items()}
            seen["where"] = len(portal.jobs.where(status="requested"))
            changes = portal.messages.changes()
            sent = portal.messages.send("from a script")
            sent.synced()
            seen["kinds"] = [changes.next(timeout_s=5).kind for _ in range(2)]
            with pytest.raises(TimeoutError):
                changes.next(timeout_s=0.05)
            with pytest.raises(WriteRefusedError):
                portal.loyalty.redeem(5, reason="none").synced()
            portal.outbox.discard(portal.outbox.refused[0])
            seen["left"] = len(portal.outbox)
            with (
                portal.presence("lobby", {"name": "script"}) as room,
                portal.broadcast("lobby", hears_self=True) as channel,
            ):
                events = channel.events("note")
                channel.send("note", {"a": 1})
                seen["event"] = events.next(timeout_s=5).payload
                seen["room"] = type(room.members)
            seen["metrics"] = portal.metrics
            seen["state"] = portal.status.state
        return seen

    seen = await in_thread(script)
    assert seen["titles"] == ["a"]
    assert seen["where"] == 1
    assert (seen["view"], seen["groups"]) == (["a"], {"requested": 1})
    assert seen["kinds"] == ["insert", "update"]
    assert seen["event"] == {"a": 1}
    assert (seen["left"], seen["state"]) == (0, "live")
    assert threading.main_thread().name not in seen["threads"]
    metrics = seen["metrics"]
    assert (metrics.writes_submitted, metrics.writes_synced, metrics.writes_refused) == (2, 1, 1)
    assert metrics.write_latency.count == 1
    assert metrics.changes["local"] >= 1
    assert metrics.flat()["write_latency.count"] == 1
    assert not [t for t in threading.enumerate() if t.name == "portal-loop"]


async def test_an_iterator_ends_when_the_portal_closes(account: Any) -> None:
    """Another thread closes; the waiting loop ends normally."""

    def script() -> list[str]:
        portal = open_portal(account)
        with portal:
            portal.ready()
            titles: list[str] = []
            changes = portal.jobs.changes()
            reader = threading.Thread(target=lambda: titles.extend(c.record.title for c in changes))
            reader.start()
            portal.jobs.request("one").synced()
        reader.join(10)
        assert not reader.is_alive()
        return titles

    assert set(await in_thread(script)) == {"one"}


async def test_use_out_of_place_is_said_clearly(account: Any) -> None:
    """Before entering, after closing, and entering twice."""

    def script() -> None:
        portal = open_portal(account)
        with pytest.raises(PortalClosedError, match="Enter the portal"):
            portal.ready()
        with pytest.raises(PortalClosedError, match="Enter the portal"):
            len(portal.jobs)
        with portal:
            portal.ready()
            with pytest.raises(StateError, match="entered once"):
                portal.__enter__()
        with pytest.raises(PortalClosedError, match="closed"):
            portal.messages.send("late")
        portal.close()

    await in_thread(script)
