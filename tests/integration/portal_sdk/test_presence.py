"""Presence rooms against the real stack."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portal_sdk import ChannelError, ConfigurationError, JoinRejectedError, Portal, PortalConfig
from tests.support.waiting import eventually


def said(room: Any, key: str, name: str) -> list[Any]:
    """What the devices of a member say under one name, sorted; empty for nobody."""
    member = room.members.get(key)
    return [] if member is None else sorted(meta[name] for meta in member.metas)


async def test_members_join_update_and_leave(account: Any) -> None:
    """Two devices of one customer are one member with two entries; the last one out leaves."""
    async with account.portal() as phone, account.portal() as laptop:
        await asyncio.gather(phone.ready(), laptop.ready())
        async with phone.presence("lobby", {"name": "phone"}) as room:
            await eventually(lambda: list(room.members) == [account.user_id])
            changes = room.changes()
            async with laptop.presence("lobby", {"name": "laptop"}) as other:
                change = await asyncio.wait_for(anext(changes), 5)
                assert change.kind == "updated"
                assert {meta["name"] for meta in change.member.metas} == {"phone", "laptop"}
                other.update({"name": "laptop", "page": 2})
                change = await asyncio.wait_for(anext(changes), 5)
                assert (change.kind, change.member.meta["page"]) == ("updated", 2)
                other.update(None)
                change = await asyncio.wait_for(anext(changes), 5)
                assert [meta["name"] for meta in change.member.metas] == ["phone"]
                room.update(None)
                change = await asyncio.wait_for(anext(changes), 5)
                assert (change.kind, change.previous.meta["name"]) == ("left", "phone")
                assert room.members == {}


async def test_the_own_entry_is_repeated_after_a_cut_and_ghosts_are_cleared(
    account: Any, quick: PortalConfig
) -> None:
    """After the sockets were cut everybody is back once, and nobody twice."""
    async with account.portal(config=quick) as phone, account.portal(config=quick) as laptop:
        await asyncio.gather(phone.ready(), laptop.ready())
        async with phone.presence("lobby", {"name": "phone"}) as room:
            async with laptop.presence("lobby", {"name": "laptop"}):
                await eventually(lambda: said(room, account.user_id, "name") == ["laptop", "phone"])
                account.stack.faults.drop_sockets()
                await eventually(lambda: not room.is_joined)
                await eventually(lambda: room.is_joined)
                await eventually(lambda: said(room, account.user_id, "name") == ["laptop", "phone"])
                # The laptop leaves while the phone's socket is away.
                account.stack.faults.refuse_connects = 503
                account.stack.faults.drop_sockets()
                await eventually(lambda: not room.is_joined)
            account.stack.faults.refuse_connects = None
            await eventually(lambda: room.is_joined, 15)
            await eventually(lambda: said(room, account.user_id, "name") == ["phone"])


async def test_many_updates_stay_within_the_servers_limit(account: Any) -> None:
    """Twenty updates at once do not end the channel, and the newest word arrives."""
    async with account.portal() as portal:
        await portal.ready()
        async with portal.presence("lobby", {"count": 0}) as room:
            for count in range(1, 21):
                room.update({"count": count})
            machine = room._runner._machine
            await eventually(lambda: said(room, account.user_id, "count") == [3])
            assert machine.next_deadline() is not None
            assert room.is_joined
            machine._tracks.clear()  # 31 seconds later
            room._runner._ring()
            await eventually(lambda: said(room, account.user_id, "count") == [20])
            assert machine.generation == 1


async def test_a_paused_portal_leaves_its_rooms_and_returns(account: Any) -> None:
    """No socket while paused; afterwards the own entry is back."""
    async with account.portal() as portal:
        await portal.ready()
        async with portal.presence("lobby", {"name": "Jo"}) as room:
            portal.pause()
            await eventually(lambda: not room.is_joined)
            portal.resume()
            await eventually(lambda: room.is_joined)
            await eventually(lambda: account.user_id in room.members)


async def test_a_foreign_room_is_refused_clearly(account: Any, new_account: Any) -> None:
    """The server's policies decide who may join: another customer's room is closed to us."""
    other = await new_account()
    async with account.portal() as portal:
        await portal.ready()
        room = portal.presence("lobby", {})
        from portal_sdk.rooms import PresenceRoom

        foreign = PresenceRoom(portal._rooms, f"{other.scope}:lobby", "lobby", "me", {})
        with pytest.raises(JoinRejectedError):
            async with foreign:
                pass
        async with room:
            assert room.is_joined


async def test_a_room_that_cannot_be_joined_in_time_says_so(
    account: Any, quick: PortalConfig
) -> None:
    """Entering has a deadline; its error names the obstacle."""
    async with account.portal(config=quick) as portal:
        await portal.ready()
        account.stack.faults.refuse_connects = 503
        with pytest.raises(ChannelError, match="503"):
            async with portal.presence("lobby"):
                pass


@pytest.mark.parametrize("name", ["", "a b", "a:b", "x" * 65, 5])
async def test_bad_room_names_are_refused(account: Any, name: Any) -> None:
    """A name that could change the topic never reaches the server."""
    async with account.portal() as portal:
        await portal.ready()
        with pytest.raises(ConfigurationError, match="room name"):
            portal.presence(name)
        with pytest.raises(ConfigurationError, match="JSON"):
            portal.presence("ok", {"x": object()})


async def test_rooms_need_a_known_customer(account: Any) -> None:
    """Before ready there is no topic to join."""
    portal: Portal
    async with account.portal() as portal:
        with pytest.raises(RuntimeError, match="ready"):
            portal.presence("lobby")
