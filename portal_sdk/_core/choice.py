"""Which doorbell to open next: the best one that works (CONN-16)."""

from __future__ import annotations

from collections.abc import Sequence

from portal_sdk.types import DoorbellKind

STRIKE_LIMIT = 2
LONGEST_RETURN = 16.0
"""Times ``return_s``: how rarely a doorbell that never works is tried again."""


class DoorbellChoice:
    """The doorbells in order of preference and the complaints about the present one.

    A complaint is a refused join or a deaf doorbell, never a lost network: another doorbell on the
    same network would not help. Two complaints in a row change to the next kind. From anything but
    the first kind the portal returns to try the first, at growing pauses; there one complaint is
    enough to go on.
    """

    def __init__(self, kinds: Sequence[DoorbellKind], return_s: float) -> None:
        self._kinds = tuple(kinds)
        self._return_s = return_s
        self._index = 0
        self._strike_count = 0
        self._is_trial = False
        self._return_factor = 1.0

    @property
    def kind(self) -> DoorbellKind | None:
        """The doorbell to open next; None when the portal is to poll only."""
        return self._kinds[self._index] if self._kinds else None

    def complain(self) -> None:
        """Count a refused join or a deaf doorbell."""
        if len(self._kinds) < 2:
            return
        self._strike_count += 1
        if self._strike_count >= (1 if self._is_trial else STRIKE_LIMIT):
            self._index = (self._index + 1) % len(self._kinds)
            self._strike_count = 0
            self._is_trial = False

    def praise(self) -> None:
        """It rang: it works."""
        self._strike_count = 0
        self._is_trial = False
        if self._index == 0:
            self._return_factor = 1.0

    def return_pause_s(self) -> float | None:
        """Return how long to stay before the first kind is tried again, None for ever."""
        return None if self._index == 0 else self._return_s * self._return_factor

    def go_back(self) -> None:
        """Try the first kind again."""
        self._index = self._strike_count = 0
        self._is_trial = True
        self._return_factor = min(self._return_factor * 2, LONGEST_RETURN)
