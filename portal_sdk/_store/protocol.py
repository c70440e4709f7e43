"""What the driver needs of a store. All calls are synchronous and may come from any thread.

Only ``open`` and ``recall`` take time for every stored row; ``Staging`` and ``sweep`` exist so that
nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from portal_sdk._core.digest import TableSummary
from portal_sdk._core.feed import Forms, Tables
from portal_sdk._core.replica import Commit
from portal_sdk._store.staging import Staging
from portal_sdk.types import Row

SCHEMA_VERSION = 4


@dataclass(frozen=True, slots=True)
class StoredRows:
    """What a store holds for one user; everything None or empty when it holds nothing."""

    scope: str | None = None
    epoch: str | None = None
    n: int = 0
    tables: Tables = field(default_factory=dict[str, dict[str, Row]], repr=False)
    as_of: str | None = None
    known: Mapping[str, TableSummary] = field(default_factory=dict[str, TableSummary], repr=False)
    """What the store knows of each table; its rows belong to the reader from now on."""
    forms: Forms = field(default_factory=dict[str, str])


class Store(Protocol):
    """Keeps one user's rows; owned by one portal."""

    @property
    def is_large(self) -> bool:
        """Whether reading or erasing all of it would hold up an event loop."""
        ...

    def lock(self) -> None:
        """Take the store for this portal, before anything else happens.

        Raises:
            StoreLockedError: Someone else has the store open.
            StoreUnusableError: It cannot be read or written.
        """
        ...

    def open(self, project: str, user_id: str) -> StoredRows:
        """Return this user's rows; nothing, and change nothing, if they are somebody else's.

        Raises:
            StoreUnusableError: It cannot be read or written.
        """
        ...

    def claim(self, project: str, user_id: str) -> None:
        """Make the store this user's: no row of anyone else, or of another project, counts now.

        ``sweep`` erases what does not count. A staging that was begun goes on.

        Raises:
            StoreError: It is whose it was.
        """
        ...

    def salt(self, project: str) -> bytes | None:
        """Return the salt of the remembered login of this project, or None.

        Raises:
            StoreUnusableError: It cannot be read or written.
        """
        ...

    def recall(self, project: str, proof: bytes) -> tuple[str, StoredRows] | None:
        """Return user id and rows if the proof is the one that was remembered, else None.

        Raises:
            StoreUnusableError: It cannot be read or written.
        """
        ...

    def remember(self, salt: bytes, proof: bytes) -> None:
        """Keep what ``recall`` needs to recognise the login of the store's owner.

        Raises:
            StoreError: Nothing was stored.
        """
        ...

    def stage(self, tables: Tables) -> Staging | None:
        """Begin to write all rows anew; they count when a commit of these ``tables`` says so.

        A staging that was begun earlier is given up. None if this store keeps nothing.
        """
        ...

    def commit(self, commit: Commit) -> None:
        """Store rows and cursor in one transaction.

        Raises:
            StoreError: Nothing was stored.
        """
        ...

    def sweep(self) -> bool:
        """Erase some rows that do not count any more; return whether there may be more of them.

        Raises:
            StoreError: Nothing was erased.
        """
        ...

    def purge(self) -> None:
        """Forget cursor and scope: no row counts any more, and ``sweep`` erases them.

        Raises:
            StoreError: Nothing was forgotten.
        """
        ...

    def close(self) -> None:
        """Release the store; calling it twice is harmless."""
        ...
