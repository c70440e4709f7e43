"""The rules of docs/protocol/sync.md on verifying: is what is shown what the database has?"""

from __future__ import annotations

from typing import Any

import pytest

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.digest import columns_hash, row_hash
from portal_sdk._core.feed import FeedChange, Head, Snapshot
from portal_sdk._core.sync import SyncMachine
from tests.spec.portal_sdk.sync_steps import (
    CONFIG,
    EMPTY,
    answer,
    asked,
    current,
    page,
    published,
    upsert,
)


@pytest.mark.spec("SYNC-10")
def test_a_digest_mismatch_at_the_same_position_takes_a_snapshot() -> None:
    made = current(1, {"jobs": {"j": {"id": "j", "version": 1}}})
    effects = answer(made, made.handle(ev.HeadWanted(), 1.0), Head("e", 1, EMPTY))
    asked(effects, do.RequestSnapshot)


@pytest.mark.spec("SYNC-10")
def test_a_digest_is_compared_when_the_pull_reaches_the_heads_position() -> None:
    made = current()
    pull = answer(made, made.handle(ev.HeadWanted(), 1.0), Head("e", 1, EMPTY))
    asked(answer(made, pull, page(2, upsert(1), upsert(2))), do.RequestSnapshot)


def verify(made: SyncMachine, head: Head, taken: Snapshot, times: int) -> list[int]:
    """Verify so often, answer each snapshot asked for; return which verifications took one."""
    took = []
    for number in range(times):
        effects = answer(made, made.handle(ev.HeadWanted(), 1.0 + number), head)
        if any(isinstance(effect, do.RequestSnapshot) for effect in effects):
            took.append(number)
            answer(made, effects, taken)
    return took


def begin_with(taken: Snapshot) -> SyncMachine:
    made = SyncMachine("customer:1", CONFIG, lambda: 0.5)
    answer(made, made.handle(ev.SyncStarted(), 0.0), taken)
    return made


@pytest.mark.spec("SYNC-11")
def test_a_digest_that_never_matches_is_looked_at_ever_more_rarely() -> None:
    rows = {"jobs": {"j": {"id": "j", "version": 1}}}
    taken = Snapshot("e", 1, rows, EMPTY)
    took = verify(begin_with(taken), Head("e", 1, EMPTY), taken, 500)
    assert took[:6] == [0, 2, 6, 14, 30, 62]
    assert took[6:] == list(range(126, 500, 64))


@pytest.mark.spec("SYNC-11")
def test_a_digest_that_differed_for_a_moment_is_compared_again() -> None:
    """A policy that changes between the parts of a snapshot leaves rows and digest apart."""
    right = with_columns("id version")
    made = begin_with(Snapshot("e", 1, shaped(), EMPTY))
    assert verify(made, right, Snapshot("e", 1, shaped(), right.digest), 3) == []
    made = begin_with(Snapshot("e", 1, {"jobs": {}}, right.digest))
    assert verify(made, right, Snapshot("e", 1, shaped(), right.digest), 3) == [0]
    assert made.replica.tables["jobs"] == shaped()["jobs"]


def with_columns(names: str, n: int = 1) -> Head:
    """A head whose digest agrees with the row that ``shaped`` makes."""
    digest = {"jobs": (1, f"{row_hash('j', 1):015x}")}
    return Head("e", n, digest, columns={"jobs": columns_hash(names.split())})


def shaped(*extra: str) -> dict[str, Any]:
    return {"jobs": {"j": {"id": "j", "version": 1, **dict.fromkeys(extra)}}}


@pytest.mark.spec("SYNC-22")
def test_rows_with_the_databases_columns_are_left_alone() -> None:
    made = current(1, shaped())
    assert answer(made, made.handle(ev.HeadWanted(), 1.0), with_columns("id version")) == []


@pytest.mark.spec("SYNC-22")
@pytest.mark.parametrize("columns", ["id version season", "id name"], ids=["added", "renamed"])
def test_rows_of_another_shape_take_a_snapshot(columns: str) -> None:
    made = current(1, shaped())
    effects = answer(made, made.handle(ev.HeadWanted(), 1.0), with_columns(columns))
    asked(effects, do.RequestSnapshot)


@pytest.mark.spec("SYNC-22")
def test_one_row_of_the_new_shape_does_not_hide_the_old_ones() -> None:
    made = current(1, shaped())
    row = {"id": "k", "version": 2, "season": None}
    change = FeedChange(2, "jobs", "k", False, row)
    pull = made.handle(ev.Rang("e", 2), 1.0)
    assert published(answer(made, pull, page(2, change)))
    bits = row_hash("j", 1) ^ row_hash("k", 2)
    names = {"jobs": columns_hash(row)}
    head = Head("e", 2, {"jobs": (2, f"{bits:015x}")}, columns=names)
    asked(answer(made, made.handle(ev.HeadWanted(), 2.0), head), do.RequestSnapshot)


@pytest.mark.spec("SYNC-22")
def test_columns_that_never_match_are_looked_at_ever_more_rarely() -> None:
    head = with_columns("something else")
    taken = Snapshot("e", 1, shaped(), head.digest, columns=head.columns)
    made = begin_with(taken)
    assert verify(made, head, taken, 20) == [0, 2, 6, 14]
    asked(answer(made, made.handle(ev.HeadWanted(), 99.0), Head("e", 1, EMPTY)), do.RequestSnapshot)


@pytest.mark.spec("SYNC-22")
def test_a_snapshot_taken_while_a_column_came_is_mended_when_it_has_gone() -> None:
    """Its rows had the column already, its names not yet; afterwards the names are right again."""
    right = with_columns("id version")
    between = Snapshot("e", 1, shaped("season"), right.digest, columns=right.columns)
    mended = Snapshot("e", 1, shaped(), right.digest, columns=right.columns)
    made = begin_with(between)
    assert verify(made, right, mended, 5) == [0]
    assert made.replica.tables["jobs"] == shaped()["jobs"]


def formed(form: str) -> tuple[Snapshot, Head]:
    """What the database says while its rows have this form; nothing else of it changes."""
    digest = with_columns("id version").digest
    forms = {"jobs": form}
    return Snapshot("e", 1, shaped(), digest, forms=forms), Head("e", 1, digest, forms=forms)


@pytest.mark.spec("SYNC-23")
def test_rows_that_were_rewritten_are_read_again_once() -> None:
    snapshot, head = formed("a")
    made = begin_with(snapshot)
    assert verify(made, head, snapshot, 3) == []
    rewritten, head = formed("b")
    assert verify(made, head, rewritten, 5) == [0]


@pytest.mark.spec("SYNC-23")
def test_the_form_is_kept_beside_the_rows() -> None:
    taken, _head = formed("a")
    waiting = SyncMachine("customer:1", CONFIG, lambda: 0.5)
    effects = answer(waiting, waiting.handle(ev.SyncStarted(), 0.0), taken)
    commit = asked(effects, do.CommitRows).commit
    assert commit.forms == {"jobs": "a"}
    made = SyncMachine("customer:1", CONFIG, lambda: 0.5)
    made.load("e", 1, shaped(), forms=commit.forms)
    answer(made, made.handle(ev.SyncStarted(), 0.0), page(1))
    assert answer(made, made.handle(ev.HeadWanted(), 1.0), formed("a")[1]) == []
    asked(answer(made, made.handle(ev.HeadWanted(), 2.0), formed("b")[1]), do.RequestSnapshot)


@pytest.mark.spec("SYNC-23")
def test_a_form_that_no_snapshot_has_is_looked_at_ever_more_rarely() -> None:
    """Two databases behind one address."""
    snapshot, head = formed("a")[0], formed("b")[1]
    assert verify(begin_with(snapshot), head, snapshot, 20) == [0, 1, 3, 7, 15]


@pytest.mark.spec("SYNC-13")
def test_a_head_ahead_without_a_ring_reports_a_deaf_doorbell() -> None:
    made = current()
    pull = answer(made, made.handle(ev.HeadWanted(), 10.0), Head("e", 1, EMPTY), 10.0)
    answer(made, pull, page(1, upsert(1)), 10.1)
    assert made.handle_timer(11.9) == []
    assert [type(e) for e in made.handle_timer(12.0)] == [do.ReportDeafDoorbell]


@pytest.mark.spec("SYNC-13")
def test_a_late_ring_clears_the_doubt() -> None:
    made = current()
    pull = answer(made, made.handle(ev.HeadWanted(), 10.0), Head("e", 1, EMPTY), 10.0)
    answer(made, pull, page(1, upsert(1)), 10.1)
    made.handle(ev.Rang("e", 1), 10.2)
    assert made.handle_timer(13.0) == []
