"""The status is worked out anew only where something changed, and is right whenever it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from portal_sdk import SyncState, SyncStatus
from portal_sdk._status import StatusBoard
from portal_sdk.errors import ConnectionLostError, PortalError, StoreError

FIRST, SECOND = "2026-11-29T10:00:00+00:00", "2026-11-29T10:00:05+00:00"
LOST = ConnectionLostError("gone")
FULL = StoreError("full")


@dataclass
class Core:
    """As much of a PortalCore as the status is made of."""

    doorbell: str = "broadcast"
    error: PortalError | None = None
    sync: Any = field(default_factory=lambda: SimpleNamespace(fresh_as_of=FIRST))

    def error_in(self, _state: SyncState) -> PortalError | None:
        return self.error


def write(
    board: StatusBoard, core: Core, state: SyncState = SyncState.LIVE, **facts: Any
) -> SyncStatus | None:
    return board.write(core, state, **{"store_error": None, "pending_writes": 0, **facts})  # type: ignore[arg-type]


@pytest.fixture
def board() -> StatusBoard:
    made = StatusBoard()
    assert write(made, Core()) is not None
    return made


def test_the_same_is_told_once_and_its_time_moves_on(board: StatusBoard) -> None:
    told = board.read()
    core = Core()
    assert write(board, core) is None
    core.sync.fresh_as_of = SECOND
    assert write(board, core) is None
    now = board.read()
    assert now.fresh_as_of == datetime(2026, 11, 29, 10, 0, 5, tzinfo=UTC)
    assert (now.state, now.since) == (told.state, told.since)
    core.sync.fresh_as_of = None  # the rows were taken back
    assert write(board, core) is None
    assert board.read().fresh_as_of is None


@pytest.mark.parametrize(
    ("core", "facts", "part"),
    [
        (Core(doorbell="polling"), {}, "doorbell"),
        (Core(error=LOST), {}, "last_error"),
        (Core(), {"store_error": FULL}, "last_error"),
        (Core(), {"pending_writes": 1}, "pending_writes"),
        (Core(), {"state": SyncState.STALE}, "state"),
    ],
)
def test_each_part_is_told_when_it_comes_and_when_it_goes(
    board: StatusBoard, core: Core, facts: dict[str, Any], part: str
) -> None:
    before = board.read()
    told = write(board, core, **facts)
    assert told is not None
    assert told == board.read()
    assert getattr(told, part) != getattr(before, part)
    assert (told.since == before.since) == (part != "state")
    assert write(board, core, **facts) is None
    again = write(board, Core())
    assert again is not None
    assert getattr(again, part) == getattr(before, part)


def test_the_last_status_keeps_the_time_of_the_rows(board: StatusBoard) -> None:
    core = Core()
    core.sync.fresh_as_of = SECOND
    write(board, core)
    assert board.close(LOST) == board.read()
    last = board.read()
    assert (last.state, last.last_error) == (SyncState.CLOSED, LOST)
    assert last.fresh_as_of == datetime(2026, 11, 29, 10, 0, 5, tzinfo=UTC)
