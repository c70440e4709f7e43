"""F1, F2, F3, F10: what networks, gateways and doorbells do."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

from tests.faults.frames import TEXT, Frame, in_pieces
from tests.faults.world import World

RINGS = ("broadcast", "postgres_changes")
BIG_FRAME_BYTES = 2 * 2**20
FLOOD = 40


async def reset(world: World) -> None:
    world.proxy.reset_all()


async def finish(world: World) -> None:
    world.proxy.finish_all()


async def drop_sockets(world: World) -> None:
    world.stack.faults.drop_sockets()


async def close_with_a_code(world: World) -> None:
    await world.proxy.close_sockets(world.chance.choice([1000, 1001, 1011, 1012]))


async def strand(world: World) -> None:
    """Half-open for good: only silence tells."""
    world.proxy.strand_all()


async def black_hole(world: World) -> None:
    """Half-open for a while; then everything arrives late."""
    world.proxy.is_black_hole = True
    await world.hold(2.5)


async def dribble(world: World) -> None:
    world.proxy.dribble = True
    await world.hold(0.5)


async def one_byte_frames(world: World) -> None:
    world.proxy.mangle = lambda frame: in_pieces(frame, 1) if frame.opcode == TEXT else [frame]
    await world.hold(0.5)


async def jitter(world: World) -> None:
    world.proxy.delay_s = 0.2
    await world.hold()


async def long_jitter(world: World) -> None:
    world.proxy.delay_s = 5.0
    await world.hold(4.0)


async def refuse(world: World) -> None:
    world.proxy.is_open = False
    world.proxy.reset_all()
    await world.hold()


async def outage(world: World) -> None:
    """Nothing at all for some seconds."""
    world.proxy.is_open = False
    world.proxy.reset_all()
    await asyncio.sleep(2)
    await world.hold(4)


async def hang(world: World) -> None:
    world.stack.faults.hang = True
    await world.hold(1.5)


async def answer_pings_only(world: World) -> None:
    """Sockets and connections stay open, and nobody is at home."""
    world.stack.faults.hang = world.stack.faults.http_hang = True
    await world.hold(3.0)


async def http_down(world: World) -> None:
    world.stack.faults.http_refuse = world.chance.choice([500, 503, 429])
    await world.hold()


async def http_hang(world: World) -> None:
    world.stack.faults.http_hang = True
    await world.hold(2.5)


async def refuse_sockets(world: World) -> None:
    world.stack.faults.refuse_connects = 503
    world.proxy.reset_all()
    await world.hold()


async def refuse_joins(world: World) -> None:
    reasons = ["Unauthorized: You do not have permissions", "ConnectionRateLimitReached: slow"]
    world.stack.faults.refuse_joins = world.chance.choice(reasons)
    world.stack.faults.drop_sockets()
    await world.hold()


async def lose_rings(world: World) -> None:
    """The server loses them."""
    world.stack.faults.lose_doorbells = True
    await world.hold(2.0)


async def drop_rings(world: World) -> None:
    """The network loses some of them."""
    chance = world.chance
    world.proxy.mangle = lambda f: [] if is_ring(f) and chance.random() < 0.5 else [f]
    await world.hold(1.5)


async def repeat_rings(world: World) -> None:
    world.proxy.mangle = lambda frame: [frame] * (3 if is_ring(frame) else 1)
    await world.hold(1.0)


async def reorder_rings(world: World) -> None:
    """Each ring is held back until the next one has passed; the last one never comes."""
    held: list[Frame] = []

    def swap(frame: Frame) -> list[Frame]:
        if not is_ring(frame):
            return [frame]
        held.append(frame)
        return [held.pop(), held.pop(0)] if len(held) > 1 else []

    world.proxy.mangle = swap
    await world.hold(1.0)


async def forge_rings(world: World) -> None:
    """Rings that promise what there is not, of this epoch and of another one."""
    world.proxy.mangle = lambda frame: [frame, *forgeries(frame)]
    await world.hold(0.7)


async def flood_with_rings(world: World) -> None:
    world.proxy.mangle = lambda frame: [frame] * (FLOOD if is_ring(frame) else 1)
    await world.hold(0.5)


async def send_a_big_frame(world: World) -> None:
    """Two MiB that nobody asked for."""
    body = {"type": "broadcast", "event": "other", "payload": "x" * BIG_FRAME_BYTES}
    await send_json(world, {"event": "broadcast", "payload": body})


async def send_nonsense(world: World) -> None:
    """A frame that cannot be read may have been a ring."""
    await world.proxy.send_frame(Frame(TEXT, world.chance.choice([b"{", b"[]", b'"x"', b"\x00"])))


async def send_json(world: World, fields: dict[str, Any]) -> None:
    """Send a frame on the customer's channel."""
    frame = {"topic": f"realtime:{world.account.scope}", "ref": None, "payload": {}, **fields}
    await world.proxy.send_frame(Frame(TEXT, json.dumps(frame).encode()))


def is_ring(frame: Frame) -> bool:
    """Tell whether the frame says that something changed."""
    return frame.opcode == TEXT and any(f'"event":"{ring}"' in _text(frame) for ring in RINGS)


def forgeries(frame: Frame) -> list[Frame]:
    """Return rings made from a real one."""
    if not is_ring(frame):
        return []
    body = json.loads(frame.payload)
    ring = body.get("payload", {}).get("payload")
    if not isinstance(ring, dict):
        return []  # a feed row: what the database sent is not forged here
    made = []
    for changed in ({"n": ring.get("n", 0) + 1000}, {"epoch": str(uuid.uuid4())}, {"n": -1}):
        forged = {**body, "payload": {**body["payload"], "payload": {**ring, **changed}}}
        made.append(Frame(TEXT, json.dumps(forged).encode()))
    return made


def _text(frame: Frame) -> str:
    return frame.payload.decode("utf-8", "replace").replace(" ", "")
