"""The store of a portal without a file: the replica in memory is all there is."""

from __future__ import annotations

from portal_sdk._core.feed import Tables
from portal_sdk._core.replica import Commit
from portal_sdk._store.protocol import StoredRows


class MemoryStore:
    """Keeps nothing between runs; the rows live in the replica."""

    @property
    def is_large(self) -> bool:
        """Never: there is no file."""
        return False

    def lock(self) -> None:
        """Do nothing; memory belongs to its portal."""

    def open(self, project: str, user_id: str) -> StoredRows:
        """Return nothing: a new portal starts with a snapshot."""
        del project, user_id
        return StoredRows()

    def claim(self, project: str, user_id: str) -> None:
        """Do nothing; memory belongs to its portal."""

    def salt(self, project: str) -> bytes | None:
        """Return nothing: no login is remembered."""
        del project
        return None

    def recall(self, project: str, proof: bytes) -> tuple[str, StoredRows] | None:
        """Return nothing: nothing is kept."""
        del project, proof
        return None

    def remember(self, salt: bytes, proof: bytes) -> None:
        """Do nothing."""

    def stage(self, tables: Tables) -> None:
        """Do nothing: there is no file."""
        del tables

    def sweep(self) -> bool:
        """Do nothing: nothing is kept."""
        return False

    def commit(self, commit: Commit) -> None:
        """Do nothing; the replica already has the rows."""

    def purge(self) -> None:
        """Do nothing; the replica is purged by its owner."""

    def close(self) -> None:
        """Do nothing."""
