"""Telling subscribers of many changes: not all at once, and never out of order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice

from portal_sdk._core.difference import RowChange
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
        self._untold: list[tuple[PublishChanges, Iterator[RowChange]]] = []  # a deque: 700 bytes

    @property
    def has_more(self) -> bool:
        """Whether something waits for its turn of the loop."""
        return bool(self._untold)

    def publish(self, effect: PublishChanges) -> None:
        """Tell of a few changes now, of many over the next turns of the loop."""
        few = effect.changes
        if isinstance(few, list) and len(few) <= CHANGES_AT_ONCE and not self._untold:
            self._tell(effect)  # as nearly always
            return
        changes = iter(effect.changes)
        some = _take_some(changes, effect)
        following = _take_some(changes, effect)
        if not self._untold and not following.changes:
            self._tell(some)
            return
        self._untold.append((some, chain(following.changes, changes)))

    def tell_some(self) -> None:
        """Tell of the next few changes."""
        some, rest = self._untold[0]
        following = _take_some(rest, some)
        self._untold[:1] = [(following, rest)] if following.changes else []
        self._tell(some)


def _take_some(changes: Iterator[RowChange], effect: PublishChanges) -> PublishChanges:
    return PublishChanges(tuple(islice(changes, CHANGES_AT_ONCE)), effect.source)
