"""What the demo is doing right now: written by the demo, read by the views."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Seat:
    """One customer in front of their portal.

    Attributes:
        email: Who it is.
        state: The portal's own word for its state.
        received_count: Callbacks that ran.
        last_change: The last one, in words.
        last_latency_ms: How old its write was, None when that is not known.
    """

    email: str
    state: str = "connecting"
    received_count: int = 0
    last_change: str = ""
    last_latency_ms: float | None = None


@dataclass(slots=True)
class Progress:
    """The demo's present state.

    Attributes:
        phase: What is being done, in words.
        actions_done: Staff actions answered so far, of `actions_total`.
        last_action: The last one, in words.
        cut_connections: How many sockets the cut has reset; None before it.
        seats: One per connected customer.
    """

    actions_total: int
    phase: str = ""
    actions_done: int = 0
    last_action: str = ""
    cut_connections: int | None = None
    seats: list[Seat] = field(default_factory=list)

    @property
    def received_count(self) -> int:
        """Callbacks that ran in all portals together."""
        return sum(seat.received_count for seat in self.seats)

    @property
    def live_count(self) -> int:
        """Portals that say they are live."""
        return sum(seat.state == "live" for seat in self.seats)
