"""Comparing the replica with what the database says it should look like (SYNC-10, 11, 22)."""

from __future__ import annotations

from dataclasses import dataclass

from portal_sdk._core.feed import FeedChange, Head, Snapshot
from portal_sdk._core.replica import Replica


@dataclass(slots=True)
class Checkpoint:
    """A head to compare with once the replica stands where the head stood.

    Attributes:
        head: The head, or None.
        is_digest_trusted: The database's digest matched the last snapshot it came with; one that
            never matches must not cause a snapshot at every verification.
        are_columns_trusted: The same of the names of its columns.
    """

    head: Head | None = None
    is_digest_trusted: bool = True
    are_columns_trusted: bool = True

    def judge_snapshot(self, snapshot: Snapshot, replica: Replica) -> None:
        """Learn from a snapshot that was just applied."""
        self.is_digest_trusted = replica.matches(snapshot.digest)
        self.are_columns_trusted = replica.has_columns(snapshot.columns)
        self.head = None

    def agrees(self, head: Head, replica: Replica) -> bool:
        """Return whether the replica, standing at the head, is what the head says."""
        if self.are_columns_trusted and not replica.has_columns(head.columns):
            return False
        return not self.is_digest_trusted or replica.matches(head.digest)

    def agrees_after(self, change: FeedChange, replica: Replica) -> bool:
        """Compare if the entry just applied brought the replica to the head."""
        if not change.is_remove and change.row is None:
            self.head = None  # a blanked row was there when the head was taken
        head = self.head
        if head is None or head.n > change.n:
            return True
        self.head = None
        return head.n < change.n or self.agrees(head, replica)
