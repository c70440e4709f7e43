"""Put together what every customer received and what the database says, and count. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from portalctl.demo.checker import (
    CacheDifference,
    ChangeKey,
    Counts,
    Rows,
    compare_cache,
    count_changes,
)
from portalctl.demo.latency import LatencySummary
from portalctl.demo.oracle import Truth


@dataclass(frozen=True, slots=True)
class Received:
    """One callback: which change it was given, its kind, how it came, when it ran (monotonic)."""

    key: ChangeKey
    kind: str
    source: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What there is to say about one customer.

    Attributes:
        email: Who it is.
        before: What they could see when the day began.
        after: What they could see at the end, with the log in between.
        received: Every callback in between, in order.
        cache: What their portal would show at the end.
    """

    email: str
    before: Truth
    after: Truth
    received: Sequence[Received]
    cache: Rows

    @property
    def counts(self) -> Counts:
        """How the received changes compare with the log."""
        keys = [item.key for item in self.received]
        return count_changes(self.after.log, keys, self.before.row_ids | self.after.row_ids)

    @property
    def differences(self) -> tuple[CacheDifference, ...]:
        """How the cache differs from what the customer may see."""
        return compare_cache(self.cache, self.after.rows)


@dataclass(frozen=True, slots=True)
class Latencies:
    """From the request being sent to the callback: of all changes, and by how they came."""

    every: LatencySummary
    live: LatencySummary
    catch_up: LatencySummary


def measure(sent_at_ns: Mapping[ChangeKey, int], received: Iterable[Received]) -> Latencies:
    """Measure every received change whose write is known; each change once, when it came first.

    Args:
        sent_at_ns: When the request of a write was sent, by the change it made.
        received: Callbacks of all customers.
    """
    first: dict[ChangeKey, Received] = {}
    for item in received:
        if item.key in sent_at_ns:
            first.setdefault(item.key, item)
    measured = [(item.source, (item.at_ns - sent_at_ns[key]) / 1e6) for key, item in first.items()]
    return Latencies(
        every=LatencySummary.of([ms for _, ms in measured]),
        live=LatencySummary.of([ms for source, ms in measured if source == "live"]),
        catch_up=LatencySummary.of([ms for source, ms in measured if source != "live"]),
    )
