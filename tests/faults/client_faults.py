"""F4, F9, F11: what happens on the customer's side."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.faults.world import World


async def restart_portal(world: World) -> None:
    device = world.chance.choice(world.devices)
    await device.close()
    await device.open()


async def crash_portal(world: World) -> None:
    device = world.chance.choice(world.devices)
    await device.crash()
    await device.open()


async def pause(world: World) -> None:
    world.each_portal(lambda portal: portal.pause())
    await asyncio.sleep(world.chance.random() * 0.1)
    world.each_portal(lambda portal: portal.resume())


async def end_sessions(world: World) -> None:
    """Every session of the user is revoked; whoever knows the password signs in again."""
    await world.as_owner(
        f"delete from auth.sessions where user_id = '{world.account.user_id}'", admin=True
    )


async def auth_outage(world: World) -> None:
    """Nobody gets a token while the ones in use run out."""
    world.stack.faults.http_refuse = 503
    world.stack.faults.http_paths = ("/auth/",)
    if world.tokens is not None:
        world.tokens.is_away = True
    await world.hold(3.0)


async def raising_callback(world: World) -> None:
    def bad(_change: Any) -> None:
        raise RuntimeError("from the application")

    world.each_portal(lambda portal: portal.on_change(bad))


async def blocking_callback(world: World) -> None:
    """A callback of the application blocks its thread for a while."""

    def slow(_change: Any) -> None:
        time.sleep(0.05)  # in a thread of its own

    world.each_portal(lambda portal: portal.on_change(slow))


async def stall_the_loop(world: World) -> None:
    """The application blocks the event loop, as it must not."""
    time.sleep(world.chance.random() * 0.7)  # noqa: ASYNC251  # the fault itself
