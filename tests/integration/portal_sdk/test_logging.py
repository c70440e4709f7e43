"""What reaches the log: no secret at any level, no row data at INFO."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.support.waiting import eventually

SECRET_BODY = "the-contents-of-a-row"
OURS = ("portal_sdk", "realtime", "aiohttp", "websockets")


def lines(caplog: Any, level: int) -> list[str]:
    """What the client side wrote; the stack of this test logs in the same process."""
    return [
        f"{record.name} {record.getMessage()} {record.exc_text or ''}"
        for record in caplog.records
        if record.name.startswith(OURS) and record.levelno >= level
        and not record.name.startswith("websockets.server")
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def everything(caplog: Any) -> None:
    """Log like an application that turned everything on."""
    caplog.set_level(logging.DEBUG)


async def live_through_a_day(account: Any) -> str:
    """Sign in, write, be refused, fail in a callback, be cut, use a room; return the token."""
    async with account.portal() as portal:

        def fail(message: Any) -> None:
            raise RuntimeError(message.body)

        portal.messages.on_insert(fail)
        await portal.ready()
        await (await portal.messages.send(SECRET_BODY)).synced()
        refused = await portal.loyalty.redeem(5, reason=SECRET_BODY)
        await eventually(lambda: refused.state == "refused")
        await (await portal.profile.update(phone=SECRET_BODY)).synced()
        async with (
            portal.presence("lobby", {"note": SECRET_BODY}),
            portal.broadcast("lobby") as channel,
        ):
            await channel.send("note", {"text": SECRET_BODY})
        account.stack.faults.drop_sockets()
        await eventually(lambda: portal.status.state != "live")
        await eventually(lambda: portal.status.state == "live")
        return portal._core.token or ""


async def test_no_token_or_password_is_ever_logged(account: Any, caplog: Any) -> None:
    """Not even at DEBUG, and not by the libraries underneath."""
    token = await live_through_a_day(account)
    assert token
    written = lines(caplog, logging.DEBUG)
    assert written
    signature = token.split(".")[2]
    for secret in (token.split(".")[1], signature[-16:], signature[:16], "portal-demo"):
        assert [line[:200] for line in written if secret in line] == []


async def test_no_row_data_is_logged_at_info(account: Any, caplog: Any) -> None:
    """What customers write and read stays out of an ordinary log."""
    await live_through_a_day(account)
    written = lines(caplog, logging.INFO)
    assert any("Portal is live" in line for line in written)
    assert [line[:200] for line in written if SECRET_BODY in line] == []
