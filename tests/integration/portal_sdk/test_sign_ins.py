"""Many sign-ins at once: the auth server hashes a password for each, one after the other."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from portal_sdk import PortalConfig

PORTALS = 100


@pytest.mark.soak
async def test_a_hundred_sign_ins_that_take_longer_than_the_time_out_all_end_live(
    account: Any,
) -> None:
    """TOKEN-8: whoever gives up asks again later, and the server forgets who gave up."""
    config = PortalConfig(request_timeout_s=2.0)
    async with AsyncExitStack() as stack:
        portals = [account.portal(config=config) for _ in range(PORTALS)]
        for portal in portals:
            stack.push_async_callback(portal.close)
            await portal.__aenter__()
        await asyncio.gather(*(portal.ready(timeout_s=90) for portal in portals))
