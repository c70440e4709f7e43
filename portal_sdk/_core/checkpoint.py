"""Comparing the replica with what the database says it should look like (SYNC-10, 11, 22, 23)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portal_sdk._core.feed import FeedChange, Forms, Head, Snapshot
from portal_sdk._core.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SKIPS = 63
"""Verifications without a comparison after many snapshots that did not match (SYNC-11)."""


@dataclass(slots=True)
class Trust:
    """How far a comparison is believed that may fail for a reason which no snapshot mends.

    A snapshot that does not match what came with it was either taken while the schema or a policy
    changed, or this client and the database do not count alike. The first is over at the next
    look, the second never is; so the looks become rarer, and never end.

    Attributes:
        mismatches: Snapshots in a row that did not match.
        skips: Verifications to pass over before the next look.
    """

    mismatches: int = 0
    skips: int = 0

    def judge(self, is_match: bool) -> None:
        """Learn whether a snapshot matched what came with it."""
        self.mismatches = 0 if is_match else self.mismatches + 1
        self.skips = 0 if is_match else min(2 ** (self.mismatches - 1) - 1, MAX_SKIPS)

    def allows(self, is_match: Callable[[], bool]) -> bool:
        """Return False if there is a mismatch that is worth a snapshot now."""
        if self.skips:
            self.skips -= 1
            return True
        return is_match()


@dataclass(slots=True)
class Checkpoint:
    """A head to compare with once the replica stands where the head stood.

    Attributes:
        head: The head, or None.
        digest_trust: How far the database's digest is believed.
        columns_trust: The same of the names of its columns.
        forms_trust: The same of the form of its rows.
    """

    head: Head | None = None
    digest_trust: Trust = field(default_factory=Trust)
    columns_trust: Trust = field(default_factory=Trust)
    forms_trust: Trust = field(default_factory=Trust)
    _forms_said: Forms = field(default_factory=dict[str, str])

    def judge_snapshot(self, snapshot: Snapshot, replica: Replica) -> None:
        """Learn from a snapshot that was just applied."""
        self.digest_trust.judge(replica.matches(snapshot.digest))
        self.columns_trust.judge(replica.has_columns(snapshot.columns))
        self.forms_trust.judge(replica.has_forms(self._forms_said))
        self._forms_said = {}
        self.head = None

    def agrees(self, head: Head, replica: Replica) -> bool:
        """Return whether the replica, standing at the head, is what the head says."""
        has_columns = self.columns_trust.allows(lambda: replica.has_columns(head.columns))
        has_forms = self.forms_trust.allows(lambda: replica.has_forms(head.forms))
        self._forms_said = {} if has_forms else head.forms
        is_equal = self.digest_trust.allows(lambda: replica.matches(head.digest))
        return is_equal and has_columns and has_forms

    def agrees_after(self, change: FeedChange, replica: Replica) -> bool:
        """Compare if the entry just applied brought the replica to the head."""
        if not change.is_remove and change.row is None:
            self.head = None  # a blanked row was there when the head was taken
        head = self.head
        if head is None or head.n > change.n:
            return True
        self.head = None
        return head.n < change.n or self.agrees(head, replica)
