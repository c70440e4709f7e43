"""The rules of docs/protocol/outbox.md, one by one, on the pure machine and overlay."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from portal_sdk._core import outbox_effects as do
from portal_sdk._core import outbox_table as ev
from portal_sdk._core.difference import RowChange
from portal_sdk._core.outbox import OutboxMachine
from portal_sdk._core.overlay import Overlay
from portal_sdk._core.write import Entry, Write, WriteKind, WriteState
from portal_sdk._store.outbox import parse_entry, render_entry
from portal_sdk.config import PortalConfig
from portal_sdk.errors import (
    ConnectError,
    InvalidRequestError,
    NotFoundError,
    RateLimitedError,
    ServerUnavailableError,
    WriteConflictError,
)
from tests.spec.portal_sdk.test_tables import render_table

DOCS = Path(__file__).parents[3] / "docs" / "protocol" / "outbox.md"
TESTS = Path(__file__).parents[2]
ENDED = {WriteState.SYNCED, WriteState.DISCARDED}


def insert(write_id: str = "w1", lane: str = "messages:thread") -> Write:
    row_id = f"row-{write_id}"
    row = {"id": row_id, "body": write_id, "version": 0}
    return Write(write_id, "s", WriteKind.INSERT, "messages", row_id, lane, row, shown=row)


def patch(write_id: str = "p1", base: Any = None, **values: Any) -> Write:
    known = {column: (base or {}).get(column) for column in values}
    return Write(
        write_id, "s", WriteKind.PATCH, "customers", "c", "customers:c", values, base=known
    )


def redeem(write_id: str, points: int) -> Write:
    row = {"id": write_id, "points": -points, "entry_no": 0, "balance_after": 0, "version": 0}
    table = "loyalty_transactions"
    return Write(write_id, "s", WriteKind.CALL, table, write_id, "loyalty", {}, shown=row)


class Box:
    """A machine with the orders it gave."""

    def __init__(self, *, is_allowed: bool = True) -> None:
        self.machine = OutboxMachine(PortalConfig(), lambda: 0.5)
        self.orders: list[Any] = []
        self.now = 100.0
        self.machine.allow(is_allowed=is_allowed, now=self.now)

    def submit(self, *writes: Write) -> None:
        for write in writes:
            self.orders += self.machine.submit(write, self.now)

    def tell(self, event: Any) -> None:
        self.orders += self.machine.handle(event, self.now)

    def see(self, key: tuple[str, str], row: Any) -> None:
        self.orders += self.machine.see_row(key, row, self.now)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.orders += self.machine.handle_timer(self.now)

    def of(self, kind: type) -> list[Any]:
        return [order for order in self.orders if isinstance(order, kind)]

    @property
    def sent(self) -> list[str]:
        return [order.entry.write.write_id for order in self.of(do.SendWrite)]

    def state(self, write_id: str) -> WriteState:
        return self.machine.entries[write_id].state


def test_the_table_is_total_and_the_document_shows_it() -> None:
    """Every living state answers every event, every action exists, and the page is current."""
    table = ev.OUTBOX_TABLE
    assert set(table) == set(WriteState) - ENDED
    for state in table:
        assert set(table[state]) == set(get_args(ev.WriteEvent)), state
    used = {rule.action for row in table.values() for rule in row.values()}
    assert used == set(Box().machine._actions)
    assert render_table(table) in DOCS.read_text()


@pytest.mark.spec("OUT-1")
def test_a_write_is_kept_then_shown_then_sent() -> None:
    """The orders come in this order."""
    box = Box()
    box.submit(insert())
    assert [type(order) for order in box.orders] == [
        do.SaveEntry, do.ShowWrites, do.SaveEntry, do.SendWrite,
    ]  # fmt: skip


@pytest.mark.spec("OUT-3")
def test_a_patch_is_repeated_for_the_same_version_with_the_same_body() -> None:
    """A newer row seen meanwhile does not change a request whose outcome is unknown."""
    box = Box()
    box.see(("customers", "c"), {"id": "c", "version": 4, "preferences": {"a": 1}})
    box.submit(patch(**{"preferences.b": 2}))
    box.tell(ev.WriteFailed("p1", ConnectError("lost")))
    box.see(("customers", "c"), {"id": "c", "version": 9, "preferences": {}})
    box.advance(60)
    first, second = (order.entry for order in box.of(do.SendWrite))
    assert (first.sent_version, first.sent_body) == (4, {"preferences": {"a": 1, "b": 2}})
    assert (second.sent_version, second.sent_body) == (4, {"preferences": {"a": 1, "b": 2}})


@pytest.mark.spec("OUT-14")
def test_a_repetition_is_sent_as_one_also_after_a_restart() -> None:
    """Whoever sends it must look for the effect of the sending before."""
    box, again = Box(), Box(is_allowed=False)
    box.submit(insert())
    box.tell(ev.WriteFailed("w1", ConnectError("lost")))
    box.advance(60)
    assert [order.is_repetition for order in box.of(do.SendWrite)] == [False, True]
    again.orders += again.machine.load([box.of(do.SaveEntry)[-1].entry])
    again.orders += again.machine.allow(is_allowed=True, now=0.0)
    assert [order.is_repetition for order in again.of(do.SendWrite)] == [True]


@pytest.mark.spec("OUT-14")
def test_a_refused_row_that_is_there_ends_the_refusal() -> None:
    """A row that a refused write is about, but does not make, ends nothing."""
    box = Box()
    box.submit(insert(), patch())
    box.tell(ev.WriteRefused("w1", ConnectError("no")))
    box.tell(ev.WriteStale("p1", None))
    refused = [write_id for write_id in ("w1", "p1") if box.state(write_id) == "refused"]
    assert refused == ["w1", "p1"]
    for entry in list(box.machine.entries.values()):
        box.see(entry.key, {"id": entry.write.row_id, "version": 1})
    assert list(box.machine.entries) == ["p1"]
    assert box.of(do.ReportState)[-1].entry.state == "synced"


@pytest.mark.spec("OUT-4")
def test_other_columns_merge_and_the_same_column_conflicts() -> None:
    """Three-way: base, theirs, mine."""
    box = Box()
    box.see(("customers", "c"), {"id": "c", "version": 1, "phone": "0", "address": "old"})
    box.submit(patch("p1", {"phone": "0"}, phone="1"))
    box.tell(ev.WriteStale("p1", {"id": "c", "version": 2, "phone": "0", "address": "new"}))
    assert box.of(do.SendWrite)[-1].entry.sent_version == 2
    box.tell(ev.WriteStale("p1", {"id": "c", "version": 3, "phone": "7", "address": "new"}))
    assert box.state("p1") is WriteState.REFUSED
    error = box.of(do.ReportState)[-1].error
    assert isinstance(error, WriteConflictError)
    assert error.columns == ("phone",)


@pytest.mark.spec("OUT-4")
def test_a_row_that_is_gone_refuses_and_equal_values_are_in_effect() -> None:
    """Nothing to write to is a refusal; nothing left to write is success."""
    box = Box()
    box.see(("customers", "c"), {"id": "c", "version": 1, "phone": "0"})
    box.submit(patch("p1", phone="1"))
    box.tell(ev.WriteStale("p1", {"id": "c", "version": 5, "phone": "1"}))
    assert box.state("p1") is WriteState.ACKED
    box.submit(patch("p2", phone="2"))
    box.tell(ev.WriteStale("p2", None))
    assert isinstance(box.of(do.ReportState)[-1].error, NotFoundError)


def conflicting() -> Box:
    box = Box()
    box.machine.asks_conflicts = True
    box.see(("customers", "c"), {"id": "c", "version": 1, "phone": "0", "address": "0"})
    box.submit(patch("p1", {"phone": "0", "address": "0"}, phone="mine", address="mine"))
    theirs = {"id": "c", "version": 2, "phone": "theirs", "address": "0"}
    box.tell(ev.WriteStale("p1", theirs))
    return box


@pytest.mark.spec("OUT-13")
@pytest.mark.parametrize(
    ("decision", "body"),
    [
        ({"phone": "both"}, {"phone": "both", "address": "mine"}),
        ({}, {"phone": "theirs", "address": "mine"}),
    ],
)
def test_the_application_decides_a_conflict(decision: dict[str, str], body: dict[str, str]) -> None:
    """Asked about the conflicting column only; meanwhile nothing else of the lane is sent."""
    box = conflicting()
    ask = box.of(do.AskMerge)[-1]
    assert ask.paths == ("phone",)
    assert box.state("p1") is WriteState.SENDING
    box.tell(ev.MergeDecided("p1", ask.row, decision))
    sent = box.of(do.SendWrite)[-1].entry
    assert (sent.sent_version, sent.sent_body) == (2, body)
    assert box.of(do.SaveEntry)[-1].entry == sent


@pytest.mark.spec("OUT-13")
def test_no_decision_is_a_refusal_and_theirs_throughout_is_an_effect() -> None:
    """None parks the write as a conflict; leaving every column as it is needs no request."""
    box = conflicting()
    ask = box.of(do.AskMerge)[-1]
    box.tell(ev.MergeDecided("p1", ask.row, None))
    error = box.of(do.ReportState)[-1].error
    assert isinstance(error, WriteConflictError)
    assert error.columns == ("phone",)

    box = Box()
    box.machine.asks_conflicts = True
    box.see(("customers", "c"), {"id": "c", "version": 1, "phone": "0"})
    box.submit(patch("p1", {"phone": "0"}, phone="mine"))
    row = {"id": "c", "version": 2, "phone": "theirs"}
    box.tell(ev.WriteStale("p1", row))
    box.tell(ev.MergeDecided("p1", row, {}))
    assert box.state("p1") is WriteState.ACKED
    assert len(box.sent) == 1


@pytest.mark.spec("OUT-13")
def test_a_row_that_moved_on_while_asking_is_asked_about_again() -> None:
    """The decision was for another row: its version decides."""
    box = conflicting()
    ask = box.of(do.AskMerge)[-1]
    box.tell(ev.MergeDecided("p1", ask.row, {"phone": "both"}))
    newer = {"id": "c", "version": 3, "phone": "other", "address": "0"}
    box.tell(ev.WriteStale("p1", newer))
    assert box.of(do.AskMerge)[-1].row == newer
    assert box.state("p1") is WriteState.SENDING


@pytest.mark.spec("OUT-5")
def test_a_lane_sends_one_after_the_other_and_others_go_on() -> None:
    """The second message waits for the first; a job request does not."""
    box = Box()
    box.submit(insert("m1"), insert("m2"), insert("j1", lane="jobs:1"))
    assert box.sent == ["m1", "j1"]
    box.tell(ev.WriteApplied("m1", {"id": "row-m1", "version": 1}))
    assert box.sent == ["m1", "j1", "m2"]


@pytest.mark.spec("OUT-6")
def test_the_network_holds_everything_and_a_server_error_its_lane() -> None:
    """5xx waits alone; a lost connection stops all; at most one in flight while troubled."""
    box = Box()
    box.submit(*(insert(f"m{i}", lane=str(i)) for i in range(6)))
    assert box.sent == ["m0", "m1", "m2", "m3"]
    box.tell(ev.WriteFailed("m0", ServerUnavailableError("trigger", status=500)))
    box.tell(ev.WriteApplied("m1", {"id": "row-m1", "version": 1}))
    assert box.sent[4:] == ["m4", "m5"]
    box.tell(ev.WriteFailed("m2", ConnectError("lost")))
    box.tell(ev.WriteFailed("m3", RateLimitedError("slow", status=429, retry_after_s=40)))
    count = len(box.sent)
    box.advance(39)
    assert len(box.sent) == count
    box.advance(1)
    assert len(box.sent) == count  # two are still in flight, and there is trouble
    box.tell(ev.WriteApplied("m4", {"id": "row-m4", "version": 1}))
    assert set(box.sent[count:]) == {"m0", "m2", "m3"}


@pytest.mark.spec("OUT-6")
def test_nothing_is_sent_before_it_is_allowed_and_an_answer_ends_every_wait() -> None:
    """Paused or signed out: no request. Back again: at once."""
    box = Box(is_allowed=False)
    box.submit(insert())
    assert box.sent == []
    assert box.machine.next_deadline() is None
    box.orders += box.machine.allow(is_allowed=True, now=box.now)
    assert box.sent == ["w1"]
    box.tell(ev.WriteFailed("w1", ConnectError("lost")))
    assert box.sent == ["w1"]
    box.orders += box.machine.hurry(box.now)
    assert box.sent == ["w1", "w1"]


@pytest.mark.spec("OUT-7")
def test_a_refusal_parks_and_takes_along_only_what_needs_its_row() -> None:
    """The write on the row that never came to be is refused too; the next message goes out."""
    box = Box()
    cancel = Write(
        "c1", "s", WriteKind.PATCH, "messages", "row-m1", "messages:row", {"status": "x"}
    )
    box.machine.allow(is_allowed=False, now=box.now)
    box.submit(insert("m1"), cancel, insert("m2"))
    box.orders += box.machine.allow(is_allowed=True, now=box.now)
    box.tell(ev.WriteFailed("c1", ServerUnavailableError("later", status=500)))
    box.tell(ev.WriteRefused("m1", InvalidRequestError("no", status=400)))
    assert box.state("m1") is box.state("c1") is WriteState.REFUSED
    assert "m2" in box.sent
    box.tell(ev.RetryAsked("m1"))
    assert box.state("m1") in {WriteState.QUEUED, WriteState.SENDING}


@pytest.mark.spec("OUT-8")
def test_a_write_is_synced_by_the_feed_in_either_order() -> None:
    """Answer then feed, or feed then answer; an older version does not count."""
    for feed_first in (False, True):
        box = Box()
        box.submit(insert())
        row = {"id": "row-w1", "version": 3}
        answer = ev.WriteApplied("w1", row)
        if feed_first:
            box.see(("messages", "row-w1"), row)
            box.tell(answer)
        else:
            box.tell(answer)
            box.see(("messages", "row-w1"), {"id": "row-w1", "version": 2})
            assert box.state("w1") is WriteState.ACKED
            box.see(("messages", "row-w1"), row)
        assert box.machine.entries == {}
        assert box.of(do.ForgetEntry)


@pytest.mark.spec("OUT-8")
def test_a_silent_feed_makes_the_outbox_look() -> None:
    """The row may have left before the feed could show it."""
    box = Box()
    box.submit(insert())
    box.tell(ev.WriteApplied("w1", {"id": "row-w1", "version": 1}))
    box.advance(PortalConfig().ring_grace_s)
    assert len(box.of(do.LookForRow)) == 1
    box.tell(ev.RowMissing("w1"))
    assert box.machine.entries == {}
    assert box.machine.next_deadline() is None


def shown(base: dict[str, Any], *entries: Entry) -> Overlay:
    overlay = Overlay(lambda: base)
    for key in {entry.key: None for entry in entries}:
        overlay.take_writes(key, [entry for entry in entries if entry.key == key])
    return overlay


@pytest.mark.spec("OUT-9")
def test_the_overlay_is_rebased_on_every_newer_row() -> None:
    """A newer row keeps its own columns under the patch; a real row replaces a made-up one."""
    base: dict[str, Any] = {"customers": {"c": {"id": "c", "version": 1, "phone": "0"}}}
    overlay = shown(base, Entry(patch("p1", phone="1"), 1), Entry(insert(), 2))
    assert overlay.row("customers", "c") == {"id": "c", "version": 1, "phone": "1"}
    assert len(overlay.rows("messages")) == 1
    newer = {"id": "c", "version": 2, "phone": "9", "address": "new"}
    change = RowChange("customers", "update", "c", newer, base["customers"]["c"], 1, None)
    before = overlay.shown_before(change)
    base["customers"]["c"] = newer
    shift = overlay.take_base(("customers", "c"), before, newer)[0]
    assert shift.before == {"id": "c", "version": 1, "phone": "1"}
    assert shift.after == {**newer, "phone": "1"}
    base["messages"] = {"row-w1": {"id": "row-w1", "version": 1, "body": "real"}}
    made_up, real = overlay.row("messages", "row-w1"), base["messages"]["row-w1"]
    overlay.take_base(("messages", "row-w1"), made_up, real)
    assert list(overlay.rows("messages").values()) == [base["messages"]["row-w1"]]


@pytest.mark.spec("OUT-9")
def test_pending_ledger_entries_follow_the_newest_real_one() -> None:
    """An award that arrives while two redemptions wait moves both."""
    ledger = "loyalty_transactions"
    base = {ledger: {"a": {"id": "a", "entry_no": 1, "balance_after": 100, "points": 100}}}
    overlay = shown(base, Entry(redeem("r1", 30), 1), Entry(redeem("r2", 20), 2))
    assert [overlay.row(ledger, i)["balance_after"] for i in ("r1", "r2")] == [70, 50]  # type: ignore[index]
    base[ledger]["b"] = {"id": "b", "entry_no": 2, "balance_after": 150, "points": 50}
    shifts = overlay.take_base((ledger, "b"), None, base[ledger]["b"])
    assert {s.row_id: s.after["balance_after"] for s in shifts if s.after} == {
        "b": 150, "r1": 120, "r2": 100,
    }  # fmt: skip


@pytest.mark.spec("OUT-10")
def test_a_restart_repeats_what_was_on_its_way() -> None:
    """Stored while sending, loaded as queued, sent for the same version."""
    box = Box()
    box.see(("customers", "c"), {"id": "c", "version": 4, "phone": "0"})
    box.submit(patch("p1", phone="1"))
    stored = parse_entry(render_entry(box.machine.entries["p1"]))
    again = Box(is_allowed=False)
    again.orders += again.machine.load([stored])
    assert again.state("p1") is WriteState.QUEUED
    again.orders += again.machine.allow(is_allowed=True, now=again.now)
    assert again.of(do.SendWrite)[0].entry.sent_version == 4


@pytest.mark.spec("OUT-12")
def test_only_a_write_without_effect_is_discarded() -> None:
    """Queued and never sent, or refused: yes. Sent: no."""
    box = Box(is_allowed=False)
    box.submit(insert("m1"), insert("m2", lane="2"))
    box.tell(ev.DiscardAsked("m1"))
    assert "m1" not in box.machine.entries
    box.orders += box.machine.allow(is_allowed=True, now=box.now)
    box.tell(ev.DiscardAsked("m2"))
    box.tell(ev.WriteFailed("m2", ConnectError("lost")))
    box.tell(ev.DiscardAsked("m2"))
    assert "m2" in box.machine.entries
    box.advance(60)
    box.tell(ev.WriteRefused("m2", InvalidRequestError("no", status=400)))
    box.tell(ev.DiscardAsked("m2"))
    assert box.machine.entries == {}
