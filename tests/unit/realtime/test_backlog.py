"""Changes that wait for delivery."""

from __future__ import annotations

import pytest

from local_stack.realtime.changes.backlog import Backlog
from local_stack.realtime.changes.change import Change
from local_stack.realtime.changes.pgoutput import Relation

RELATION = Relation(7, "public", "t", "d", ())


def change(number: int, size: int = 1) -> Change:
    return Change("INSERT", RELATION, {"v": "x" * size}, {}, number, 1)


async def test_changes_come_out_in_the_order_they_went_in() -> None:
    backlog = Backlog(10, 1_000, lambda: None)
    for number in range(3):
        backlog.put(change(number))
    assert [(await backlog.get()).committed_us for _ in range(3)] == [0, 1, 2]
    assert len(backlog) == 0


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
    numbers = [(await backlog.get()).committed_us for _ in range(count + 1)]
    assert numbers == [*range(count), 99]
    assert len(told) == 1
    assert told[0] <= 2
    backlog.put(change(0, 1))
    assert len(backlog) == 1
