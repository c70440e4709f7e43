"""Read and write as customer 2 without asyncio, as a Django view or a script would.

usage: python examples/blocking_script.py "Is the boiler done?"
needs: SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY (portalctl env)
"""

import os
import sys

from portal_sdk import PasswordAuth
from portal_sdk.blocking import Portal

LOGIN = PasswordAuth("customer002@example.com", "portal-demo")


def _main(url: str, key: str, text: str) -> None:
    with Portal(url, key, auth=LOGIN) as portal:
        portal.ready(timeout_s=10)
        groups = portal.jobs.group_by(lambda job: job.status)
        print({status: len(jobs) for status, jobs in sorted(groups.items())})
        sent = portal.messages.send(text)
        sent.synced(timeout_s=10)
        assert sent.record is not None
        print(f"{portal.customer.name}: {sent.record.body} (version {sent.record.version})")


_main(
    os.environ["SUPABASE_URL"],
    os.environ["SUPABASE_PUBLISHABLE_KEY"],
    " ".join(sys.argv[1:]) or "Is the boiler done?",
)
