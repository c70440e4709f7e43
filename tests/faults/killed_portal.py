"""A portal that is killed at a named step of reading; run by test_killed_portal.

It appends ``n version`` of every change it hands out to a file, each before the next one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from portal_sdk import PasswordAuth, Portal
from portal_sdk._core.effects import CommitRows, PublishChanges, RequestPull
from tests.faults.world import CONFIG


def die() -> None:
    """End without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, name: str, step: str) -> None:
    """Die before or after the tenth call of a method."""
    real: Callable[..., Any] = getattr(owner, name)
    counter = [0]

    def call(*arguments: Any, **named: Any) -> Any:
        counter[0] += 1
        if counter[0] == 10 and step.startswith("before"):
            die()
        result = real(*arguments, **named)
        if counter[0] == 10 and step.startswith("after"):
            die()
        return result

    setattr(owner, name, call)


def tell(path: str, line: str) -> None:
    """Write a line that survives the death of this process."""
    with Path(path).open("a") as file:
        file.write(line)


def arrange(portal: Portal, step: str) -> None:
    """Prepare the death at a step such as "before commit"; nothing else waits for it."""
    driver = portal._driver
    assert driver is not None
    order = {"fetch": RequestPull, "commit": CommitRows, "publish": PublishChanges}
    what = step.rsplit(maxsplit=1)[-1]
    if what == "apply":
        around(portal._core, "handle", step)
        return
    kind = order[what]
    holder: Any = types.SimpleNamespace(perform=driver._performers[kind])
    around(holder, "perform", step)
    driver._performers[kind] = holder.perform


async def main(url: str, key: str, email: str, store: str, told: str, step: str) -> None:
    """Follow the changes until killed."""
    portal = Portal(url, key, auth=PasswordAuth(email, "portal-demo"), store=store, config=CONFIG)
    async with portal:
        await portal.ready(timeout_s=30)
        changes = portal.changes()
        arrange(portal, step)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        async for change in changes:
            tell(told, f"{change.n} {change.record.version}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
