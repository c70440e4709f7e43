"""Pure delay sequence with full jitter that grows, is capped and never ends."""

from __future__ import annotations

from dataclasses import dataclass

GROWTH = 4.0


def jittered_delay_s(attempt: int, unit: float, *, base_s: float, cap_s: float) -> float:
    """Return the wait before retry number ``attempt`` (0 is the first).

    Args:
        attempt: Failures so far without a stable while between them, >= 0.
        unit: Random number in [0, 1).
        base_s: Largest wait of the first retry.
        cap_s: Largest wait of any retry.

    Returns:
        Seconds in [0, min(cap_s, base_s * 4 ** attempt)): full jitter, also before the first
        retry, so that a thousand portals cut at once do not come back at once.
    """
    ceiling_s = cap_s if attempt > 30 else min(cap_s, base_s * GROWTH**attempt)
    return unit * ceiling_s


@dataclass(slots=True)
class Backoff:
    """Count failures and turn them into waits; owned by one machine."""

    base_s: float
    cap_s: float
    attempt: int = 0

    def next_delay_s(self, unit: float) -> float:
        """Return the next wait and count one failure."""
        delay_s = jittered_delay_s(self.attempt, unit, base_s=self.base_s, cap_s=self.cap_s)
        self.attempt += 1
        return delay_s

    def reset(self) -> None:
        """Forget the failures, after a stable while."""
        self.attempt = 0
