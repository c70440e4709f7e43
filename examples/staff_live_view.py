"""Follow the jobs of all customers as a member of staff: at most once, read again at every gap.

usage: python examples/staff_live_view.py
needs: SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY (portalctl env)
"""

import asyncio
import os
from uuid import UUID

from portal_sdk import Job, PasswordAuth
from portal_sdk.realtime import Gap, RealtimeClient

AGENT = PasswordAuth("agent@crm.example", "portal-demo")


async def _main(url: str, key: str) -> None:
    view: dict[UUID, Job] = {}
    client = RealtimeClient(url, key, auth=AGENT)
    async with client, client.table_changes(Job) as changes:
        async for item in changes:
            if isinstance(item, Gap):
                view = {job.id: job for job in await client.read(Job)}
                print(f"{item.reason}: {len(view)} jobs", flush=True)
            elif item.record is not None:
                view[item.record.id] = item.record
                print(f"{item.kind}: {item.record.title} is {item.record.status}", flush=True)
            else:
                view.pop(UUID(item.old["id"]), None)


asyncio.run(_main(os.environ["SUPABASE_URL"], os.environ["SUPABASE_PUBLISHABLE_KEY"]))
