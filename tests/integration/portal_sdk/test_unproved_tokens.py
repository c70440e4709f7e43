"""Against the real stack: a token counts once the server has accepted it (SYNC-24)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from portal_sdk import Portal, PortalConfig, TokenAuth
from tests.support.personas import PASSWORD
from tests.support.waiting import eventually


async def token_of(account: Any) -> str:
    async with httpx.AsyncClient(base_url=account.stack.api_url) as http:
        answer = await http.post(
            "/auth/v1/token", params={"grant_type": "password"},
            headers={"apikey": account.stack.keys.publishable},
            json={"email": account.email, "password": PASSWORD},
        )  # fmt: skip
    return str(answer.raise_for_status().json()["access_token"])


def forged(token: str) -> str:
    """The same claims, signed by nobody."""
    head, claims, _signature = token.split(".")
    return f"{head}.{claims}.{'A' * 86}"


def seen(portal: Portal) -> tuple[list[str], list[str]]:
    return [job.title for job in portal.jobs], [message.body for message in portal.messages]


@pytest.mark.spec("SYNC-24")
async def test_only_a_token_that_the_server_accepted_takes_the_store_over(
    account: Any, new_account: Callable[[], Any], quick: PortalConfig, tmp_path: Path
) -> None:
    other, path, faults = await new_account(), tmp_path / "portal.db", account.stack.faults
    await account.add_job("private")
    await other.add_job("other")
    own, others = await token_of(account), await token_of(other)

    def portal(token: str) -> Portal:
        return account.portal(auth=TokenAuth(token), store=path, config=quick)

    async with portal(own) as first:
        await first.ready()
        faults.http_refuse = 503
        await first.messages.send("unsent")

    async with portal(others) as second:  # it may be good, but nobody can say so now
        await eventually(lambda: second.status.last_error is not None)
        assert seen(second) == ([], [])
    faults.http_refuse = None
    async with portal(forged(others)) as third:
        await eventually(lambda: third.status.state == "needs_auth")
        assert seen(third) == ([], [])
    faults.http_refuse = 503
    async with portal(own) as fourth:
        await eventually(lambda: seen(fourth) == (["private"], ["unsent"]))
        assert fourth.status.state != "live"

    faults.http_refuse = None
    async with portal(others) as fifth:
        await fifth.ready()
        assert seen(fifth) == (["other"], [])
    assert b"private" not in path.read_bytes()
    async with portal(own) as last:
        await last.ready()
        await eventually(lambda: len(last.outbox) == 0)
    sent = "select count(*) from messages where customer_id = $1 and body = 'unsent'"
    assert await account.database.fetchval(sent, account.customer_id) == 1
