"""A program that is killed at a named step of a write; run by test_killed_writes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from portal_sdk import PasswordAuth, Portal


async def main(url: str, key: str, email: str, store: str, kind: str, step: str) -> None:
    async with Portal(url, key, auth=PasswordAuth(email, "portal-demo"), store=store) as portal:
        await portal.ready()

        def fail_point(name: str) -> None:
            if name == step:
                os.kill(os.getpid(), signal.SIGKILL)

        portal._desk.runner.fail_point = fail_point
        if kind == "message":
            sent = await portal.messages.send("once")
        elif kind == "redeem":
            sent = await portal.loyalty.redeem(10, reason="once")
        elif kind == "profile":
            sent = await portal.profile.update(phone="once")
        else:
            sent = await portal.jobs.request("once")
        await sent.synced()
        await asyncio.sleep(30)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
