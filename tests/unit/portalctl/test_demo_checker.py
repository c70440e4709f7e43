"""The demo's judge: every kind of fault is counted, and a faultless run is not accused."""

import random

import pytest

from portalctl.demo.checker import (
    CacheDifference,
    ChangeKey,
    Counts,
    ExpectedChange,
    compare_cache,
    count_changes,
)

JOB_MADE = ChangeKey("jobs", "job-1", 1)
JOB_MOVED = ChangeKey("jobs", "job-1", 2)
MESSAGE = ChangeKey("messages", "message-1", 1)
INVOICE = ChangeKey("invoices", "invoice-1", 2)
LOG = [ExpectedChange(key) for key in (JOB_MADE, MESSAGE, JOB_MOVED, INVOICE)]
OWN_ROWS = frozenset((entry.key.table, entry.key.row_id) for entry in LOG)
FOREIGN = ChangeKey("jobs", "job-of-somebody-else", 1)


def received_in_order() -> list[ChangeKey]:
    return [entry.key for entry in LOG]


def test_what_arrives_once_and_in_order_is_clean():
    counts = count_changes(LOG, received_in_order(), OWN_ROWS)
    assert counts == Counts(expected=4, received=4)
    assert counts.clean


@pytest.mark.parametrize("position", range(4))
def test_a_dropped_change_is_lost(position):
    received = received_in_order()
    del received[position]
    counts = count_changes(LOG, received, OWN_ROWS)
    assert counts == Counts(expected=4, received=3, lost=1)
    assert not counts.clean


@pytest.mark.parametrize("position", range(4))
def test_a_repeated_change_is_duplicated(position):
    received = received_in_order()
    received.insert(position, received[position])
    counts = count_changes(LOG, received, OWN_ROWS)
    assert counts == Counts(expected=4, received=5, duplicated=1)
    assert not counts.clean


@pytest.mark.parametrize("position", range(3))
def test_two_swapped_changes_are_one_out_of_order(position):
    received = received_in_order()
    received[position], received[position + 1] = received[position + 1], received[position]
    counts = count_changes(LOG, received, OWN_ROWS)
    assert counts == Counts(expected=4, received=4, out_of_order=1)
    assert not counts.clean


def test_a_row_of_somebody_else_is_leaked():
    counts = count_changes(LOG, [*received_in_order(), FOREIGN], OWN_ROWS)
    assert counts == Counts(expected=4, received=5, leaked=1)
    assert not counts.clean


def test_a_version_the_database_never_had_is_duplicated_not_leaked():
    invented = ChangeKey("jobs", "job-1", 9)
    counts = count_changes(LOG, [*received_in_order(), invented], OWN_ROWS)
    assert counts == Counts(expected=4, received=5, duplicated=1)


def test_an_entry_taken_back_later_may_be_seen_or_not():
    removed = ChangeKey("jobs", "job-2", 0)
    log = [ExpectedChange(ChangeKey("jobs", "job-2", 1), required=False), ExpectedChange(removed)]
    own = frozenset({("jobs", "job-2")})
    assert count_changes(log, [removed], own) == Counts(expected=1, received=1)
    both = [ChangeKey("jobs", "job-2", 1), removed]
    assert count_changes(log, both, own) == Counts(expected=2, received=2)


def test_hiding_and_showing_one_version_twice_is_matched_one_to_one():
    shown, hidden = ChangeKey("jobs", "job-3", 4), ChangeKey("jobs", "job-3", 0)
    log = [ExpectedChange(key) for key in (shown, hidden, shown, hidden)]
    own = frozenset({("jobs", "job-3")})
    assert count_changes(log, [shown, hidden, shown, hidden], own).clean
    assert count_changes(log, [shown, hidden, shown], own).lost == 1


@pytest.mark.parametrize("seed", range(50))
def test_any_mixture_of_faults_keeps_the_books_balanced(seed):
    """expected - lost + duplicated + leaked == received, and no mutation goes unnoticed."""
    pick = random.Random(seed)
    log = [ExpectedChange(ChangeKey("jobs", f"job-{n % 7}", n)) for n in range(40)]
    own = frozenset((entry.key.table, entry.key.row_id) for entry in log)
    received = [entry.key for entry in log]
    for _ in range(pick.randint(1, 6)):
        fault = pick.choice(("drop", "repeat", "swap", "foreign"))
        at = pick.randrange(len(received) - 1)
        if fault == "drop":
            del received[at]
        elif fault == "repeat":
            received.insert(at, received[at])
        elif fault == "swap":
            received[at : at + 2] = received[at + 1], received[at]
        else:
            received.insert(at, FOREIGN)
    counts = count_changes(log, received, own)
    assert counts.expected - counts.lost + counts.duplicated + counts.leaked == counts.received
    assert counts.clean == (received == [entry.key for entry in log])


def test_counts_of_several_customers_add_up():
    one, two = Counts(4, 5, 0, 1, 0, 0), Counts(3, 2, 2, 0, 1, 1)
    assert one + two == Counts(7, 7, 2, 1, 1, 1)


ROW = {"id": "job-1", "version": 2, "title": "Tap", "created_at": "2026-09-14T08:00:00+00:00"}


class TestCache:
    def test_equal_rows_in_another_spelling_are_equal(self):
        held = {**ROW, "created_at": "2026-09-14T08:00:00Z"}
        assert compare_cache({"jobs": {"job-1": held}}, {"jobs": {"job-1": ROW}}) == ()

    def test_a_table_without_rows_may_be_absent(self):
        assert compare_cache({}, {"jobs": {}}) == ()

    def test_a_missing_row_is_found(self):
        assert compare_cache({}, {"jobs": {"job-1": ROW}}) == (
            CacheDifference("jobs", "job-1", "missing"),
        )

    def test_a_foreign_row_is_found(self):
        assert compare_cache({"jobs": {"job-9": ROW}}, {"jobs": {}}) == (
            CacheDifference("jobs", "job-9", "foreign"),
        )

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("version", 1),
            ("title", "tap"),
            ("created_at", "2026-09-14T08:00:00.001+00:00"),
            ("created_at", "2026-09-14T08:00:00"),
            ("title", None),
        ],
    )
    def test_an_old_value_is_found_and_its_column_named(self, column, value):
        held = {**ROW, column: value}
        assert compare_cache({"jobs": {"job-1": held}}, {"jobs": {"job-1": ROW}}) == (
            CacheDifference("jobs", "job-1", "differs", (column,)),
        )

    def test_a_column_that_was_dropped_is_found(self):
        held = {key: value for key, value in ROW.items() if key != "title"}
        assert compare_cache({"jobs": {"job-1": held}}, {"jobs": {"job-1": ROW}}) == (
            CacheDifference("jobs", "job-1", "differs", ("title",)),
        )
