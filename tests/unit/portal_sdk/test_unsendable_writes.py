"""A write that could never be sent is refused before it is kept."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from portal_sdk import (
    ConfigurationError,
    PendingWrite,
    WriteRefusedError,
)
from portal_sdk._core.write import Write, WriteKind
from portal_sdk.testing import FakeProject

WRITES: dict[str, Any] = {
    "body": lambda portal, text: portal.messages.send(text),
    "title": lambda portal, text: portal.jobs.request(text),
    "address": lambda portal, text: portal.jobs.request("a", address=text),
    "phone": lambda portal, text: portal.profile.update(phone=text),
    "reason": lambda portal, text: portal.loyalty.redeem(1, reason=text),
    "preferences": lambda portal, text: portal.profile.set_preferences(theme=text),
}
UNUSABLE = {"surrogate": "\ud83d", "number": 5, "bytes": b"x"}


async def test_what_could_never_be_sent_is_refused_before_it_is_kept() -> None:
    """Kept, it would be sent again and again, and hold back whatever comes behind it."""
    project = FakeProject()
    jo = project.add_customer()
    async with project.portal(jo) as portal:
        await portal.ready()
        for name, write in WRITES.items():
            for kind, value in UNUSABLE.items():
                if (name, kind) != ("preferences", "number"):
                    with pytest.raises(ConfigurationError, match=name):
                        await write(portal, value)
        with pytest.raises(ConfigurationError, match="preferences"):
            await portal.profile.set_preferences(size=float("nan"))
        with pytest.raises(ConfigurationError, match="phone must not contain NUL"):
            await portal.profile.update(phone="1\0")
        with pytest.raises(ConfigurationError, match="a write of the outbox, or its id"):
            portal.outbox.retry(5)  # type: ignore[arg-type]
        assert (len(portal.outbox), len(portal.messages)) == (0, 0)
        for value in (None, "", "x" * 201):
            with pytest.raises(ConfigurationError, match="name"):
                await portal.profile.update(name=value)
        await (await portal.profile.update(phone="")).synced(timeout_s=5)


async def test_a_write_that_cannot_be_sent_is_refused_and_blocks_nothing() -> None:
    """Kept by an earlier version, which did not look so closely."""
    project = FakeProject()
    jo = project.add_customer()
    async with project.portal(jo) as portal:
        await portal.ready()
        kept = Write(
            "w1", f"customer:{jo.id}", WriteKind.INSERT, "messages", str(uuid.uuid4()),
            "messages:thread", {"body": "\ud83d"}, made_at=datetime.now(UTC).isoformat(),
        )  # fmt: skip
        odd: PendingWrite[Any] = portal._desk.submit(kept)
        behind = await portal.messages.send("behind it")
        await behind.synced(timeout_s=5)
        with pytest.raises(WriteRefusedError, match="cannot be sent as JSON"):
            await odd.synced(timeout_s=5)
