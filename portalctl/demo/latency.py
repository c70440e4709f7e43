"""Percentiles of latencies. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Nearest-rank percentiles over `count` measurements; None when there are none."""

    count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    @classmethod
    def of(cls, latencies_ms: Sequence[float]) -> LatencySummary:
        """Summarise measurements in any order."""
        ordered = sorted(latencies_ms)
        return cls(len(ordered), *(percentile(ordered, share) for share in (0.50, 0.95, 0.99)))

    def as_json(self) -> dict[str, float | None]:
        """Return the percentiles under the names machines read."""
        return {"p50": self.p50_ms, "p95": self.p95_ms, "p99": self.p99_ms}


def percentile(ordered_ms: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile, rounded to microseconds; None for no values.

    Args:
        ordered_ms: Ascending, milliseconds.
        share: 0 < share <= 1.
    """
    if not ordered_ms:
        return None
    return round(ordered_ms[math.ceil(share * len(ordered_ms)) - 1], 3)
