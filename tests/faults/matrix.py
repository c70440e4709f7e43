"""The fault matrix: what is done to a portal while staff write, as one table.

The numbers are those of docs/reference/fault-matrix.md; what is missing here is a scenario of its
own there, because it takes longer than one step of a campaign or needs a stack of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.faults import client_faults as client
from tests.faults import network_faults as network
from tests.faults import server_faults as server
from tests.faults.world import World

DOORBELLS: Any = {
    "automatic": ("broadcast", "postgres_changes"),
    "broadcast": ("broadcast",),
    "postgres_changes": ("postgres_changes",),
    "polling": (),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of the matrix.

    Attributes:
        number: F1 to F15.
        act: Does it; a fault that lasts heals itself.
        needs_socket: Nothing to break for a portal that only polls.
        is_short: Part of the short run, which shares its stack with other tests.
        weight: How often it is drawn, relative to the others.
    """

    number: str
    act: Callable[[World], Awaitable[None]]
    needs_socket: bool = False
    is_short: bool = True
    weight: float = 1.0

    @property
    def name(self) -> str:
        """Number and words, for counts."""
        return f"{self.number} {self.act.__name__.replace('_', ' ')}"


FAULTS = (
    Fault("F1", network.reset),
    Fault("F1", network.finish),
    Fault("F1", network.drop_sockets, needs_socket=True),
    Fault("F1", network.close_with_a_code, needs_socket=True, weight=3),
    Fault("F1", network.strand),
    Fault("F1", network.black_hole),
    Fault("F1", network.dribble),
    Fault("F1", network.one_byte_frames, needs_socket=True),
    Fault("F1", network.jitter),
    Fault("F1", network.long_jitter, is_short=False),
    Fault("F1", network.send_a_big_frame, needs_socket=True),
    Fault("F1", network.send_nonsense, needs_socket=True),
    Fault("F2", network.refuse),
    Fault("F2", network.outage, is_short=False, weight=0.5),
    Fault("F2", server.prune_while_away),
    Fault("F3", network.hang, needs_socket=True),
    Fault("F3", network.answer_pings_only),
    Fault("F3", network.http_hang),
    Fault("F4", client.restart_portal),
    Fault("F4", client.crash_portal),
    Fault("F5", network.http_down),
    Fault("F6", server.kill_api_backends),
    Fault("F6", server.kill_every_backend, is_short=False),
    Fault("F6", server.restart_postgres, is_short=False, weight=0.3),
    Fault("F6", server.renew_epoch),
    Fault("F6", server.prune),
    Fault("F7", server.write_in_bulk, is_short=False, weight=0.3),
    Fault("F8", server.change_the_policy, is_short=False),
    Fault("F9", server.lose_a_permission, weight=0.5),
    Fault("F9", client.end_sessions),
    Fault("F9", client.auth_outage, is_short=False),
    Fault("F10", network.lose_rings, needs_socket=True),
    Fault("F10", network.drop_rings, needs_socket=True),
    Fault("F10", network.repeat_rings, needs_socket=True),
    Fault("F10", network.reorder_rings, needs_socket=True),
    Fault("F10", network.forge_rings, needs_socket=True),
    Fault("F10", network.flood_with_rings, needs_socket=True),
    Fault("F10", network.refuse_sockets, needs_socket=True),
    Fault("F10", network.refuse_joins, needs_socket=True),
    Fault("F11", client.raising_callback, weight=0.3),
    Fault("F11", client.blocking_callback, weight=0.3),
    Fault("F11", client.stall_the_loop),
    Fault("F11", client.pause),
    Fault("F12", server.change_the_schema, is_short=False, weight=0.5),
    Fault("F13", server.change_untold),
    Fault("F13", server.copy_in_untold),
    Fault("F13", server.hide_untold),
)


def faults_for(doorbells: str, *, short: bool) -> list[Fault]:
    """Return the faults that make sense for these doorbells."""
    return [
        fault
        for fault in FAULTS
        if (fault.is_short or not short) and not (fault.needs_socket and doorbells == "polling")
    ]
