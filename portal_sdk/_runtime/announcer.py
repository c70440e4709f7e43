"""Telling subscribers of many changes: not all at once, and never out of order."""

from __future__ import annotations

from collections.abc import Callable

from portal_sdk._core.effects import PublishChanges

CHANGES_AT_ONCE = 500
"""About 10 ms of telling. More at once would overflow the queue of the quickest reader."""


class Announcer:
    """What has been applied and not been told yet; owned by the driver.

    Args:
        tell: Hands changes to the subscribers; only enqueues.
    """

    def __init__(self, tell: Callable[[PublishChanges], None]) -> None:
        self._tell = tell
        self._untold: list[PublishChanges] = []  # a deque takes 700 bytes

    @property
    def has_more(self) -> bool:
        """Whether something waits for its turn of the loop."""
        return bool(self._untold)

    def publish(self, effect: PublishChanges) -> None:
        """Tell of a few changes now, of many over the next turns of the loop."""
        changes = effect.changes
        for begin in range(0, len(changes), CHANGES_AT_ONCE):
            some = changes[begin : begin + CHANGES_AT_ONCE]
            self._untold.append(PublishChanges(some, effect.source))
        if len(self._untold) == 1:
            self.tell_some()

    def tell_some(self) -> None:
        """Tell of the next few changes."""
        self._tell(self._untold.pop(0))
