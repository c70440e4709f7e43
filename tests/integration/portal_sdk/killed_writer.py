"""Writes that are killed at a named step; run by test_killed_writes.

For each line of standard input, the arguments of `write` as JSON, it forks a process that makes the
write, and answers with how that one ended. What a process has to import takes longer than a write,
and is the same for all of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading

from portal_sdk import PasswordAuth, Portal


async def write(url: str, key: str, email: str, store: str, kind: str, step: str) -> None:
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


def main() -> None:
    assert threading.active_count() == 1, "a fork has this thread alone"
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(write(*json.loads(line)))
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
