"""Many changes at once are told piece by piece, and never out of order."""

from __future__ import annotations

import pytest

from portal_sdk._core.difference import RowChange
from portal_sdk._core.effects import PublishChanges
from portal_sdk._runtime import announcer


def test_few_changes_wait_for_the_many_before_them_and_many_are_told_in_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announcer, "CHANGES_AT_ONCE", 2)
    told: list[list[int]] = []
    made = announcer.Announcer(lambda effect: told.append([change.n for change in effect.changes]))

    def publish(*positions: int) -> None:
        rows = [RowChange("jobs", "insert", str(n), {}, None, n, None) for n in positions]
        made.publish(PublishChanges(rows, "live"))

    publish(1, 2)
    assert told == [[1, 2]]
    publish(3, 4, 5)
    publish(6)
    assert told == [[1, 2]]
    while made.has_more:
        made.tell_some()
    assert told == [[1, 2], [3, 4], [5], [6]]
