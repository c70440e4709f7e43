"""Changes that wait for delivery."""

from __future__ import annotations

from dataclasses import replace

import pytest

from local_stack.realtime.changes.backlog import Backlog
from local_stack.realtime.changes.change import Change
from local_stack.realtime.changes.pgoutput import Relation

RELATION = Relation(7, "public", "t", "d", ())


def change(number: int, size: int = 1) -> Change:
    return Change("INSERT", RELATION, {"v": "x" * size}, {}, number, 1)


def numbers_of(changes: list[Change]) -> list[int]:
    return [each.committed_us for each in changes]


async def test_changes_come_out_in_the_order_they_went_in() -> None:
    backlog = Backlog(10, 1_000, lambda: None)
    for number in range(3):
        backlog.put(change(number))
    assert numbers_of(await backlog.get(2)) == [0, 1]
    assert numbers_of(await backlog.get(2)) == [2]
    assert len(backlog) == 0


async def test_a_table_that_is_described_anew_starts_a_new_batch() -> None:
    """Changes of other tables go along; what waits behind the new description waits too."""
    described_anew = Relation(7, "public", "t", "d", ())
    other = Relation(8, "public", "u", "d", ())
    backlog = Backlog(10, 1_000, lambda: None)
    for number, relation in enumerate((RELATION, other, described_anew, other)):
        backlog.put(replace(change(number), relation=relation))
    assert numbers_of(await backlog.get(10)) == [0, 1]
    assert numbers_of(await backlog.get(10)) == [2, 3]


@pytest.mark.parametrize(("count", "size"), [(4, 1), (2, 600)])
async def test_a_full_backlog_has_room_again_when_half_is_gone(count: int, size: int) -> None:
    """Full by number or by bytes; nothing is dropped meanwhile."""
    told: list[int] = []
    backlog = Backlog(4, 1_000, lambda: told.append(len(backlog)))
    for number in range(count):
        assert not backlog.is_full
        backlog.put(change(number, size))
    assert backlog.is_full
    backlog.put(change(99, size))
    numbers = [number for _ in range(count + 1) for number in numbers_of(await backlog.get(1))]
    assert numbers == [*range(count), 99]
    assert len(told) == 1
    assert told[0] <= 2
    backlog.put(change(0, 1))
    assert len(backlog) == 1
