"""How long a known change has been waiting to be read (SYNC-15)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Lag:
    """The clock of the oldest unread change; owned by the SyncMachine.

    Attributes:
        grace_s: A change may wait this long before the replica counts as behind.
        is_behind: It has waited longer.
        at: When it will have, or None.
    """

    grace_s: float
    is_behind: bool = False
    at: float | None = None

    def start(self, now: float) -> None:
        """A change is known; the clock runs from the first one."""
        if self.at is None and not self.is_behind:
            self.at = now + self.grace_s

    def check(self, now: float) -> None:
        """Notice that the grace is over."""
        if self.at is not None and now >= self.at:
            self.at, self.is_behind = None, True

    def end(self) -> None:
        """Everything known was read."""
        self.at, self.is_behind = None, False
