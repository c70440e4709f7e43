"""Print what customer 1 sees, then every change as it happens."""

import asyncio
import os

from portal_sdk import PasswordAuth, Portal

LOGIN = PasswordAuth("customer001@example.com", "portal-demo")


async def _main(url: str, key: str) -> None:
    async with Portal(url, key, auth=LOGIN, store="portal.db") as portal:
        await portal.ready(timeout_s=10)
        print(f"{portal.customer.name}: {len(portal.jobs)} jobs, {portal.loyalty.balance} points")
        async for change in portal.changes():
            text = getattr(change.record, "body", change.record.id)
            print(portal.status.state, change.table, change.kind, text)


asyncio.run(_main(os.environ["SUPABASE_URL"], os.environ["SUPABASE_PUBLISHABLE_KEY"]))
