"""What a run of the fault matrix counts."""

from __future__ import annotations

from dataclasses import dataclass, field

WRONGS = ("lost", "applied_twice", "reordered", "leaked", "stale_while_live", "stuck")


@dataclass
class Counters:
    """What must all be zero in the end, and how much there was to see."""

    lost: int = 0
    applied_twice: int = 0
    reordered: int = 0
    leaked: int = 0
    stale_while_live: int = 0
    stuck: int = 0
    changes_seen: int = 0
    faults: int = 0
    writes: int = 0
    overlaps: int = 0
    customer_writes: int = 0
    refused_writes: int = 0
    judgements: int = 0
    resyncs: int = 0
    by_fault: dict[str, int] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)

    def wrong(self) -> dict[str, int]:
        """Return the counters that are not zero and should be."""
        return {name: getattr(self, name) for name in WRONGS if getattr(self, name)}
