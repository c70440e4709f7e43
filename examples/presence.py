"""Two devices of customer 3 see each other come, type and go.

usage: python examples/presence.py
needs: SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY (portalctl env)
"""

import asyncio
import os

from portal_sdk import PasswordAuth, Portal

LOGIN = PasswordAuth("customer003@example.com", "portal-demo")


async def _main(url: str, key: str) -> None:
    async with Portal(url, key, auth=LOGIN) as phone, Portal(url, key, auth=LOGIN) as laptop:
        await phone.ready()
        await laptop.ready()
        async with phone.presence("lobby") as watching:
            changes = watching.changes()
            async with laptop.presence("lobby", {"page": "invoices"}):
                change = await anext(changes)
                print(change.kind, change.member.meta["page"])
            print((await anext(changes)).kind)
        async with phone.broadcast("chat") as here, laptop.broadcast("chat") as there:
            notes = here.events("note")
            await there.send("note", {"text": "on my way"})
            print((await anext(notes)).payload["text"])


asyncio.run(_main(os.environ["SUPABASE_URL"], os.environ["SUPABASE_PUBLISHABLE_KEY"]))
