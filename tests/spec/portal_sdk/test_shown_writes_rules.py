"""More of docs/protocol/outbox.md: what is shown of a write on its way, and when it is repeated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from portal_sdk._core import outbox_effects as do
from portal_sdk._core import outbox_table as ev
from portal_sdk._core.overlay import Overlay, fold
from portal_sdk._core.write import Entry, Write, WriteKind, WriteState
from portal_sdk.errors import ConnectError, RateLimitedError, ServerUnavailableError
from tests.spec.portal_sdk.test_outbox_rules import Box, insert, patch

CUSTOMER = ("customers", "c")


@pytest.mark.spec("OUT-6")
@pytest.mark.parametrize(
    "error",
    [
        RateLimitedError("slow", status=429, retry_after_s=40),
        ServerUnavailableError("later", status=503),
    ],
)
def test_nothing_is_repeated_before_the_server_allows_it(error: Any) -> None:
    error.retry_after_s = 40
    box = Box()
    box.submit(insert())
    box.tell(ev.WriteFailed("w1", error))
    box.advance(39.9)
    assert box.sent == ["w1"]
    box.advance(0.1)
    assert box.sent == ["w1", "w1"]


@pytest.mark.spec("OUT-7")
def test_a_retry_writes_over_what_made_it_conflict() -> None:
    """It is for the row as it is now: the same stale answer is no conflict with itself."""
    box = Box()
    box.see(CUSTOMER, {"id": "c", "version": 1, "phone": "0"})
    box.submit(patch("p1", {"phone": "0"}, phone="mine"))
    theirs = {"id": "c", "version": 2, "phone": "theirs"}
    box.tell(ev.WriteStale("p1", theirs))
    assert box.state("p1") is WriteState.REFUSED
    box.tell(ev.RetryAsked("p1"))
    entry = box.of(do.SendWrite)[-1].entry
    assert (entry.sent_version, entry.write.base) == (2, {"phone": "theirs"})
    box.tell(ev.WriteStale("p1", {**theirs, "version": 3, "address": "new"}))
    assert box.of(do.SendWrite)[-1].entry.sent_version == 3, "nobody touched the phone since"


@pytest.mark.spec("OUT-9")
def test_a_write_on_its_way_stays_shown_when_another_one_comes() -> None:
    box = Box()
    box.see(CUSTOMER, {"id": "c", "version": 1, "phone": "0"})
    box.submit(patch("p1", {"phone": "0"}, phone="1"))
    assert box.state("p1") is WriteState.SENDING
    box.submit(patch("p2", {"address": None}, address="x"))
    shown = box.of(do.ShowWrites)[-1].entries
    assert [entry.write.write_id for entry in shown] == ["p1", "p2"]


@pytest.mark.spec("OUT-9")
def test_a_row_that_was_replaced_without_being_told_of_is_folded_anew() -> None:
    """The first snapshot is such a case; what was folded over the row of before is out of date."""
    base = {"customers": {"c": {"id": "c", "version": 1, "phone": "0"}}}
    overlay = Overlay(lambda: base)
    assert overlay.outdated() == []
    overlay.take_writes(CUSTOMER, [Entry(patch(phone="1"), 1)])
    assert overlay.outdated() == []
    base["customers"]["c"] = {"id": "c", "version": 2, "phone": "0"}
    assert overlay.outdated() == [CUSTOMER]


@pytest.mark.spec("OUT-9")
def test_a_confirmed_edit_is_not_folded_over_a_row_that_has_it() -> None:
    """What somebody wrote after it would be hidden."""
    acked = replace(Entry(patch(phone="1"), 1), state=WriteState.ACKED, acked_version=5)
    assert fold({"id": "c", "version": 4, "phone": "0"}, [acked]) == {
        "id": "c", "version": 4, "phone": "1",
    }  # fmt: skip
    for version in (5, 6):
        row = {"id": "c", "version": version, "phone": "theirs"}
        assert fold(row, [acked]) == row


@pytest.mark.spec("OUT-9")
def test_a_mark_that_is_set_stays_as_it_was_set() -> None:
    mark = Write("m", "s", WriteKind.MARK, "messages", "r", "messages:r", {"read_at": "12:00"})
    assert fold({"id": "r", "read_at": None}, [Entry(mark, 1)]) == {"id": "r", "read_at": "12:00"}
    assert fold({"id": "r", "read_at": "11:00"}, [Entry(mark, 1)])["read_at"] == "11:00"  # type: ignore[index]


@pytest.mark.spec("OUT-10")
def test_a_write_that_waited_for_the_network_is_one_write_after_a_restart() -> None:
    before = Box()
    before.submit(insert())
    before.tell(ev.WriteFailed("w1", ConnectError("lost")))
    after = Box()
    after.orders += after.machine.load(list(before.machine.entries.values()))
    after.orders += after.machine.hurry(after.now)
    (sent,) = after.of(do.SendWrite)
    assert (sent.entry.write.write_id, sent.is_repetition) == ("w1", True)
