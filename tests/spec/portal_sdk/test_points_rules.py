"""OUT-15: what is shown of points that are being redeemed; the database decides, nobody guesses."""

from __future__ import annotations

from typing import Any

import pytest

from portal_sdk._core.overlay import LEDGER, Overlay
from portal_sdk._core.write import Entry
from tests.spec.portal_sdk.test_outbox_rules import redeem

Numbers = dict[str, tuple[int, int]]
"""Of each entry shown: number and balance."""


class Ledger:
    """The ledger as the feed tells it, and the pending entries over it."""

    def __init__(self, *points: int) -> None:
        self.base: dict[str, dict[str, Any]] = {LEDGER: {}}
        self.overlay = Overlay(lambda: self.base)
        self.serial = 0
        for each in points:
            self.enter(each)

    def enter(self, points: int, row_id: str = "") -> Any:
        """The feed brings an entry; return what is shown differently, by row."""
        rows = self.base[LEDGER]
        balance = sum(row["points"] for row in rows.values()) + points
        number = len(rows) + 1
        row_id = row_id or f"real-{number}"
        row = {"id": row_id, "entry_no": number, "points": points, "balance_after": balance}
        before = self.overlay.row(LEDGER, row_id)
        rows[row_id] = row
        shifts = self.overlay.take_base((LEDGER, row_id), before, row)
        return {shift.row_id: (shift.before, shift.after) for shift in shifts}

    def ask(self, row_id: str, points: int) -> Any:
        """The customer redeems points."""
        self.serial += 1
        return self.show(Entry(redeem(row_id, points), self.serial))

    def show(self, entry: Entry) -> Any:
        shifts = self.overlay.take_writes(entry.key, [entry])
        return {shift.row_id: (shift.before, shift.after) for shift in shifts}

    def refuse(self, row_id: str) -> None:
        self.overlay.take_writes((LEDGER, row_id), [])

    @property
    def pending(self) -> Numbers:
        rows = self.overlay.rows(LEDGER)
        return {
            row_id: (row["entry_no"], row["balance_after"])
            for row_id, row in rows.items()
            if row_id not in self.base[LEDGER]
        }


@pytest.mark.spec("OUT-15")
def test_what_the_balance_does_not_cover_is_not_shown() -> None:
    ledger = Ledger(50)
    assert ledger.ask("much", 51) == {"much": (None, None)}
    assert ledger.pending == {}
    assert len(ledger.overlay.rows(LEDGER)) == 1
    assert ledger.overlay.row(LEDGER, "much") is None


@pytest.mark.spec("OUT-15")
def test_exactly_the_balance_is_shown() -> None:
    ledger = Ledger(50)
    ledger.ask("all", 50)
    assert ledger.pending == {"all": (2, 0)}


@pytest.mark.spec("OUT-15")
def test_a_smaller_one_behind_it_is_shown_as_if_it_were_refused() -> None:
    """That is what the database is going to do."""
    ledger = Ledger(50)
    for row_id, points in (("a", 30), ("much", 40), ("b", 20), ("c", 1)):
        ledger.ask(row_id, points)
    assert ledger.pending == {"a": (2, 20), "b": (3, 0)}


@pytest.mark.spec("OUT-15")
def test_points_that_come_meanwhile_make_it_appear() -> None:
    ledger = Ledger(50)
    ledger.ask("much", 60)
    ledger.ask("little", 50)
    assert ledger.pending == {"little": (2, 0)}
    moved = ledger.enter(20)
    assert ledger.pending == {"much": (3, 10)}, "it is sent first, and then 50 are too much"
    assert moved["much"][0] is None
    assert moved["much"][1]["balance_after"] == 10
    assert moved["little"][1] is None


@pytest.mark.spec("OUT-15")
def test_points_that_go_meanwhile_take_it_back() -> None:
    ledger = Ledger(50)
    ledger.ask("own", 40)
    moved = ledger.enter(-20)
    assert ledger.pending == {}
    assert (moved["own"][0]["balance_after"], moved["own"][1]) == (10, None)


@pytest.mark.spec("OUT-15")
def test_the_confirmed_row_is_shown_as_it_is() -> None:
    """Also one that could not be foreseen; those behind it follow."""
    ledger = Ledger(50)
    ledger.ask("much", 60)
    ledger.ask("b", 10)
    ledger.enter(100)
    ledger.enter(-60, "much")
    assert ledger.overlay.row(LEDGER, "much") == ledger.base[LEDGER]["much"]
    assert ledger.pending == {"b": (4, 80)}


@pytest.mark.spec("OUT-15")
def test_one_that_is_sent_again_keeps_its_place() -> None:
    """Refused, then retried: it is older than the others, and goes out before them."""
    ledger = Ledger(50)
    first = Entry(redeem("first", 40), 1)
    ledger.show(first)
    ledger.serial = 1
    ledger.ask("second", 30)
    assert ledger.pending == {"first": (2, 10)}
    ledger.refuse("first")
    assert ledger.pending == {"second": (2, 20)}
    ledger.show(first)
    assert ledger.pending == {"first": (2, 10)}


@pytest.mark.spec("OUT-15")
def test_a_ledger_that_was_replaced_untold_is_looked_at_once() -> None:
    """The first snapshot: until then no points are known, and nothing is told of it (SYNC-8)."""
    ledger = Ledger()
    ledger.base = {}
    assert ledger.overlay.predict_again() == []
    ledger.ask("own", 20)
    assert ledger.overlay.rows(LEDGER) == {}
    ledger.base = {LEDGER: {"a": {"id": "a", "entry_no": 1, "points": 50, "balance_after": 50}}}
    (shift,) = ledger.overlay.predict_again()
    assert (shift.row_id, shift.before) == ("own", None)
    assert ledger.pending == {"own": (2, 30)}
    assert ledger.overlay.predict_again() == []
