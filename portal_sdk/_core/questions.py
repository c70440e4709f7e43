"""The requests under way: only their answers count (SYNC-4)."""

from __future__ import annotations

from dataclasses import dataclass

from portal_sdk._core import events as ev


@dataclass(slots=True)
class Questions:
    """Numbers of the present requests, 0 where there is none; owned by the SyncMachine.

    Attributes:
        last: The highest number given so far; it never goes back.
        rows: The snapshot or pull under way.
        head: The head that was asked for last.
    """

    last: int = 0
    rows: int = 0
    head: int = 0

    def ask_rows(self) -> int:
        """Return the number of a new snapshot or pull, which replaces the one before."""
        self.last += 1
        self.rows = self.last
        return self.rows

    def ask_head(self) -> int:
        """Return the number of a new question for the head."""
        self.last += 1
        self.head = self.last
        return self.head

    def forget(self) -> None:
        """Let no answer count any more."""
        self.rows = self.head = 0

    def is_awaiting(self, request: int) -> bool:
        """Return whether the answer to this request would still count."""
        return request in {self.rows, self.head} - {0}

    def is_outdated(self, event: object) -> bool:
        """Return whether this is the answer to another request than the one under way."""
        match event:
            case ev.SnapshotAnswered() | ev.PullAnswered():
                return event.request != self.rows
            case ev.HeadAnswered():
                return event.request != self.head
            case ev.RequestFailed():
                return not self.is_awaiting(event.request)
            case _:
                return False
