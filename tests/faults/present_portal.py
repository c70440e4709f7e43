"""A device in a presence room until it is killed; run by test_presence_faults."""

from __future__ import annotations

import asyncio
import sys

from portal_sdk import PasswordAuth, Portal


async def main(url: str, key: str, email: str, name: str) -> None:
    """Be there."""
    async with Portal(url, key, auth=PasswordAuth(email, "portal-demo")) as portal:
        await portal.ready(timeout_s=30)
        async with portal.presence("lobby", {"name": name}):
            sys.stdout.write("present\n")
            sys.stdout.flush()
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
