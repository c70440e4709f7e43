"""Compare what customers received with what the database says they had to receive. Pure.

Nothing here knows the SDK or the database; both sides come in as plain values. The identity
``expected - lost + duplicated + leaked == received`` always holds.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

Row = Mapping[str, Any]
Rows = Mapping[str, Mapping[str, Row]]
"""Table name → row id → row, as JSON values."""


class ChangeKey(NamedTuple):
    """What makes a change this change. Removals have version 0: what is gone has no version."""

    table: str
    row_id: str
    version: int


class ExpectedChange(NamedTuple):
    """One entry of a customer's change log, in the log's order.

    Not `required`: its row was taken back later, so a customer may or may not have seen it.
    """

    key: ChangeKey
    required: bool = True


@dataclass(frozen=True, slots=True)
class Counts:
    """How a customer's, or all customers', received changes compare with the expected ones.

    Attributes:
        expected: Log entries that had to arrive (those taken back count only when they did arrive).
        received: Callbacks that ran.
        lost: Expected and never received.
        duplicated: Received more often than the log has them, or not in the log at all.
        out_of_order: Received after a change that the log has later.
        leaked: Received although the row never was this customer's to see.
    """

    expected: int = 0
    received: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    leaked: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.expected + other.expected,
            self.received + other.received,
            self.lost + other.lost,
            self.duplicated + other.duplicated,
            self.out_of_order + other.out_of_order,
            self.leaked + other.leaked,
        )

    @property
    def clean(self) -> bool:
        """Whether everything arrived exactly once, in order, and nothing else did."""
        return not (self.lost or self.duplicated or self.out_of_order or self.leaked)


def count_changes(
    expected: Sequence[ExpectedChange],
    received: Iterable[ChangeKey],
    own_rows: frozenset[tuple[str, str]],
) -> Counts:
    """Compare one customer's received changes with their log.

    Args:
        expected: The customer's log between the start and the end, in its own order.
        received: What callbacks were given, in the order they ran.
        own_rows: (table, row id) of every row the customer could see at some time in between.
    """
    positions: dict[ChangeKey, deque[int]] = defaultdict(deque)
    for position, change in enumerate(expected):
        positions[change.key].append(position)
    seen: set[int] = set()
    received_count = duplicated = out_of_order = leaked = 0
    furthest = -1
    for key in received:
        received_count += 1
        if (key.table, key.row_id) not in own_rows:
            leaked += 1
        elif not positions[key]:
            duplicated += 1
        else:
            position = positions[key].popleft()
            seen.add(position)
            out_of_order += position < furthest
            furthest = max(furthest, position)
    due = [at for at, change in enumerate(expected) if change.required or at in seen]
    return Counts(
        expected=len(due),
        received=received_count,
        lost=sum(at not in seen for at in due),
        duplicated=duplicated,
        out_of_order=out_of_order,
        leaked=leaked,
    )


@dataclass(frozen=True, slots=True)
class CacheDifference:
    """One way in which a portal's cache is not what the customer may see.

    `what` is missing, foreign, or differs (in `columns`).
    """

    table: str
    row_id: str
    what: str
    columns: tuple[str, ...] = ()


def compare_cache(cache: Rows, database: Rows) -> tuple[CacheDifference, ...]:
    """List every difference between a portal's cache and `select` as that customer."""
    differences: list[CacheDifference] = []
    for table in sorted(cache.keys() | database.keys()):
        held, true = cache.get(table, {}), database.get(table, {})
        for row_id in sorted(held.keys() | true.keys()):
            if row_id not in held:
                differences.append(CacheDifference(table, row_id, "missing"))
            elif row_id not in true:
                differences.append(CacheDifference(table, row_id, "foreign"))
            elif columns := _different_columns(held[row_id], true[row_id]):
                differences.append(CacheDifference(table, row_id, "differs", columns))
    return tuple(differences)


def _different_columns(held: Row, true: Row) -> tuple[str, ...]:
    return tuple(
        column
        for column in sorted(held.keys() | true.keys())
        if column not in held or column not in true or not _same(held[column], true[column])
    )


def _same(held: Any, true: Any) -> bool:
    if held == true:
        return True
    if isinstance(held, str) and isinstance(true, str):
        # One instant has many spellings: +00:00 or Z, with or without trailing zeros.
        try:
            return datetime.fromisoformat(held) == datetime.fromisoformat(true)
        except (ValueError, TypeError):
            return False
    return False
