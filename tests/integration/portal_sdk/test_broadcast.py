"""Broadcast rooms against the real stack."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from portal_sdk import BroadcastRefusedError, ChannelClosedError, ConfigurationError, PortalConfig
from tests.support.waiting import eventually


class Cursor(BaseModel):
    x: int
    y: int


@pytest.mark.spec("CAST-3")
async def test_messages_reach_the_others_and_typed_events_fit(account: Any) -> None:
    """A model goes out and comes in; what does not fit is skipped; the sender hears nothing."""
    async with account.portal() as phone, account.portal() as laptop:
        await asyncio.gather(phone.ready(), laptop.ready())
        async with phone.broadcast("lobby") as mine, laptop.broadcast("lobby") as theirs:
            everything, cursors = theirs.events(), theirs.events("cursor", Cursor)
            own = mine.events()
            await mine.send("cursor", {"x": "not a number"})
            await mine.send("cursor", Cursor(x=1, y=2))
            first = await asyncio.wait_for(anext(everything), 5)
            assert (first.event, first.payload) == ("cursor", {"x": "not a number"})
            assert (await asyncio.wait_for(anext(cursors), 5)).payload == Cursor(x=1, y=2)
            await theirs.send("reply")
            assert (await asyncio.wait_for(anext(own), 5)).event == "reply"


async def test_hears_self_brings_the_own_message_back(account: Any) -> None:
    """On request the sender is a receiver, too."""
    async with account.portal() as portal:
        await portal.ready()
        async with portal.broadcast("lobby", hears_self=True) as channel:
            events = channel.events("note")
            await channel.send("note", {"text": "hi"})
            assert (await asyncio.wait_for(anext(events), 5)).payload == {"text": "hi"}


async def test_typing_is_seen_and_expires_by_itself(account: Any) -> None:
    """One frame per two seconds at most; without another one the mark goes."""
    async with account.portal() as phone, account.portal() as laptop:
        await asyncio.gather(phone.ready(), laptop.ready())
        async with phone.broadcast("lobby") as mine, laptop.broadcast("lobby") as theirs:
            seen = theirs.typing()
            changes = seen.changes()
            events = theirs.events("typing")
            for _ in range(10):
                await mine.typing().touch()
            assert await asyncio.wait_for(anext(changes), 5) == frozenset({account.user_id})
            await mine.typing().stop()
            assert await asyncio.wait_for(anext(changes), 5) == frozenset()
            marks = [(await anext(events)).payload["is_typing"] for _ in range(2)]
            assert marks == [True, False]
            await mine.typing().touch()
            assert await asyncio.wait_for(anext(changes), 5) == frozenset({account.user_id})
            seen._roster._ends_at[account.user_id] = 0.0  # five seconds later
            seen._expire()
            assert await asyncio.wait_for(anext(changes), 5) == frozenset()


@pytest.mark.spec("CAST-2")
async def test_a_cut_is_said_and_the_room_comes_back(account: Any, quick: PortalConfig) -> None:
    """While away send() refuses at once; later it works again."""
    async with account.portal(config=quick) as portal:
        await portal.ready()
        async with portal.broadcast("lobby", hears_self=True) as channel:
            account.stack.faults.refuse_connects = 503
            account.stack.faults.drop_sockets()
            await eventually(lambda: not channel.is_joined)
            with pytest.raises(ChannelClosedError, match="joined again"):
                await channel.send("note")
            account.stack.faults.refuse_connects = None
            await eventually(lambda: channel.is_joined, 15)
            events = channel.events("note")
            await channel.send("note")
            assert (await asyncio.wait_for(anext(events), 5)).event == "note"


@pytest.mark.spec("CAST-1")
async def test_too_large_a_message_is_refused_by_the_server(account: Any) -> None:
    """The receipt carries the server's reason."""
    async with account.portal() as portal:
        await portal.ready()
        async with portal.broadcast("lobby") as channel:
            with pytest.raises(BroadcastRefusedError, match="payload_size_exceeded"):
                await channel.send("big", {"text": "x" * 3_200_000})
            await channel.send("small")


async def test_bad_payloads_are_refused_before_they_are_sent(account: Any) -> None:
    """A payload is an object of JSON values."""
    async with account.portal() as portal:
        await portal.ready()
        async with portal.broadcast("lobby") as channel:
            for payload in ([1], [], "", 0, "text", {"x": object()}):
                with pytest.raises(ConfigurationError, match=r"^payload must"):
                    await channel.send("note", payload)  # type: ignore[arg-type]
            with pytest.raises(ConfigurationError):
                await channel.send("", {})
