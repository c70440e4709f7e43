"""Order-independent table digest, the same as the database computes over what the caller sees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import md5

from portal_sdk.types import Row

HASH_DIGITS = 15
RECENT_ROWS = 1024
"""Rows that change change again soon, and then the hash of the old version is known. 0.3 MB."""


def row_hash(row_id: str, version: int) -> int:
    """Return the first 60 bits of ``md5('<id>:<version>')``."""
    text = f"{row_id}:{version}".encode()
    return int(md5(text, usedforsecurity=False).hexdigest()[:HASH_DIGITS], 16)


recent_row_hash = lru_cache(RECENT_ROWS)(row_hash)
"""The same for rows that change one by one."""


def row_version(row: Row) -> int:
    """Return the row's version; rows without one never change and count as 1."""
    version = row.get("version")
    return version if isinstance(version, int) else 1


def columns_hash(names: Iterable[str]) -> str:
    """Return the md5 of column names in the order of a row's keys, as portal_head gives it."""
    return md5(",".join(names).encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class TableDigest:
    """Running count and XOR of row hashes of one table; adding twice removes."""

    count: int = 0
    bits: int = 0

    def add(self, row_id: str, version: int) -> None:
        """Count a row in."""
        self.count += 1
        self.bits ^= row_hash(row_id, version)

    def remove(self, row_id: str, version: int) -> None:
        """Count a row out; it must have been added with this version."""
        self.count -= 1
        self.bits ^= row_hash(row_id, version)

    def replace(self, row_id: str, old_version: int, version: int) -> None:
        """Count a row in that was counted with another version before."""
        self.bits ^= recent_row_hash(row_id, old_version) ^ recent_row_hash(row_id, version)

    def freeze(self) -> tuple[int, str]:
        """Return (count, hash as 15 lower-case hex digits)."""
        return self.count, f"{self.bits:0{HASH_DIGITS}x}"


@dataclass(slots=True)
class TableSummary:
    """What a store knows of a table's rows without looking at each.

    Attributes:
        digest: Count and hash of exactly these rows.
        shapes: The column names of every row since everything was read last.
    """

    digest: TableDigest
    shapes: set[tuple[str, ...]]


EMPTY_DIGEST = TableDigest().freeze()
