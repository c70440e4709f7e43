"""Every limit and duration of the SDK, checked once."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, cast, get_args

from portal_sdk.errors import ConfigurationError
from portal_sdk.types import DoorbellKind

PULL_LIMIT_MAX = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalConfig:
    """Durations in seconds and sizes of one portal; the defaults suit a normal network.

    Raises:
        ConfigurationError: A value is not finite or not positive.
    """

    verify_interval_s: float = 30.0
    """The database must have answered within this time for the portal to be live."""
    request_timeout_s: float = 10.0
    """One database or auth request, from sending to the whole answer."""
    join_timeout_s: float = 20.0
    """Opening the socket and joining; a cold server takes up to 15 s."""
    heartbeat_interval_s: float = 20.0
    """Silence on the socket before it is asked for a sign of life (server limit: 60 s)."""
    heartbeat_timeout_s: float = 10.0
    """Wait for that sign of life before the socket is thrown away."""
    ring_grace_s: float = 2.0
    """A ring may be this late behind its change before the doorbell counts as deaf."""
    lag_grace_s: float = 1.0
    """A known change may stay unread this long before ``live`` is given up."""
    poll_interval_s: float = 2.0
    """Pause between reads while no socket can be had."""
    poll_after_failures: int = 2
    """Failed socket attempts in a row before polling starts."""
    doorbells: tuple[DoorbellKind, ...] = ("broadcast", "postgres_changes")
    """Doorbells to use, best first; empty means that the database is only polled."""
    doorbell_return_s: float = 300.0
    """Pause before a better doorbell that did not work is tried again; it grows."""
    backoff_base_s: float = 0.1
    """Largest wait before the first retry; it grows fourfold with each failure."""
    backoff_cap_s: float = 4.0
    """Largest wait before any retry."""
    stable_after_s: float = 10.0
    """A connection this old resets the back-off."""
    rate_limit_wait_s: float = 30.0
    """Wait after the server complained about a rate limit."""
    pull_limit: int = 500
    """Changes asked for in one read, 1 to 5000."""
    queue_capacity: int = 10_000
    """Changes kept for one subscriber that does not keep up."""
    max_frame_bytes: int = 16 * 1024 * 1024
    """Largest socket message accepted; a larger one costs the socket, and the log says so."""
    close_timeout_s: float = 2.0
    """Wait for sockets and callbacks when the portal is closed."""

    def __post_init__(self) -> None:
        known = get_args(DoorbellKind)
        given = cast("Any", self.doorbells)  # whatever a caller without types may pass
        wanted: list[Any] = [*given] if isinstance(given, (tuple, list)) else [None]
        if any(kind not in known or wanted.count(kind) > 1 for kind in wanted):
            raise ConfigurationError(
                f"doorbells must be a tuple of different ones of {', '.join(known)}",
                setting="doorbells",
            )
        for field in dataclasses.fields(self):
            if field.name != "doorbells":
                _check_number(field.name, getattr(self, field.name), is_whole=field.type == "int")
        if self.pull_limit > PULL_LIMIT_MAX:
            raise ConfigurationError(
                f"pull_limit must be at most {PULL_LIMIT_MAX}", setting="pull_limit"
            )


def _check_number(name: str, value: object, *, is_whole: bool) -> None:
    is_number = isinstance(value, int if is_whole else (int, float)) and value is not True
    if not (is_number and math.isfinite(value) and value > 0):  # type: ignore[arg-type, operator]
        kind = "whole number" if is_whole else "number"
        raise ConfigurationError(f"{name} must be a positive {kind}, not {value!r}", setting=name)
