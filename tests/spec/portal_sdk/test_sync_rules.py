"""Each rule of docs/protocol/sync.md, with literal times."""

from __future__ import annotations

from typing import Any

import pytest

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.digest import columns_hash, row_hash
from portal_sdk._core.feed import FeedChange, Head, PullPage, Snapshot
from portal_sdk._core.sync import SyncMachine
from portal_sdk._core.sync_table import FeedState
from portal_sdk.config import PortalConfig
from portal_sdk.errors import ConnectError, RateLimitedError
from portal_sdk.types import SyncState
from tests.spec.portal_sdk.world import ModelServer, World

CONFIG = PortalConfig()
EMPTY = {"jobs": (0, "0" * 15)}


def upsert(n: int, row_id: str = "j", version: int | None = None) -> FeedChange:
    return FeedChange(n, "jobs", row_id, False, {"id": row_id, "version": version or n})


def page(n: int, *changes: FeedChange, **more: Any) -> PullPage:
    return PullPage("e", n, changes, **more)


def machine(n: int = 0, tables: Any = None) -> SyncMachine:
    """A machine that was stopped with a stored cursor."""
    made = SyncMachine("customer:1", CONFIG, lambda: 0.5)
    made.load("e", n, tables or {"jobs": {}})
    return made


def current(n: int = 0, tables: Any = None) -> SyncMachine:
    made = machine(n, tables)
    answer(made, made.handle(ev.SyncStarted(), 0.0), page(n))
    assert made.state is FeedState.CURRENT
    return made


def asked(effects: Any, kind: type = do.RequestPull) -> Any:
    found = [effect for effect in effects if isinstance(effect, kind)]
    assert len(found) == 1, effects
    return found[0]


def answer(made: SyncMachine, effects: Any, value: Any, now: float = 0.0) -> list[Any]:
    kinds = {PullPage: (do.RequestPull, ev.PullAnswered), Head: (do.RequestHead, ev.HeadAnswered),
             Snapshot: (do.RequestSnapshot, ev.SnapshotAnswered)}  # fmt: skip
    kind, event = kinds[type(value)]
    return made.handle(event(asked(effects, kind).request, value), now)


def published(effects: Any) -> list[Any]:
    return [c for e in effects if isinstance(e, do.PublishChanges) for c in e.changes]


@pytest.mark.spec("SYNC-1")
def test_a_start_reads_from_the_cursor_even_when_current() -> None:
    made = current(7)
    assert asked(made.handle(ev.SyncStarted(), 1.0)).after_n == 7


@pytest.mark.spec("SYNC-1")
def test_what_was_read_before_a_start_does_not_make_live() -> None:
    made = current(7)
    assert made.is_caught_up
    effects = made.handle(ev.SyncStarted(), 1.0)
    assert not made.is_caught_up
    answer(made, effects, page(7))
    assert made.is_caught_up


@pytest.mark.spec("SYNC-1")
def test_a_start_during_a_read_takes_the_claim_away_until_the_next_answer() -> None:
    made = current(7)
    first = made.handle(ev.Rang("e", 8), 1.0)
    assert made.is_caught_up
    made.handle(ev.SyncStarted(), 1.1)
    assert not made.is_caught_up
    second = answer(made, first, page(8, upsert(8)))
    assert not made.is_caught_up
    answer(made, second, page(8))
    assert made.is_caught_up


@pytest.mark.spec("SYNC-2")
def test_without_a_cursor_a_snapshot_is_taken() -> None:
    made = SyncMachine("customer:1", CONFIG, lambda: 0.5)
    asked(made.handle(ev.SyncStarted(), 0.0), do.RequestSnapshot)


@pytest.mark.spec("SYNC-3")
def test_rings_in_flight_are_coalesced_into_one_pull() -> None:
    made = current()
    first = made.handle(ev.Rang("e", 1), 1.0)
    assert made.handle(ev.Rang("e", 2), 1.0) == made.handle(ev.Rang("e", 3), 1.0) == []
    second = answer(made, first, page(1, upsert(1)))
    assert asked(second).after_n == 1
    answer(made, second, page(3, upsert(2), upsert(3)))
    assert made.state is FeedState.CURRENT


@pytest.mark.spec("SYNC-3")
def test_a_ring_in_flight_that_the_answer_reaches_costs_no_other_pull() -> None:
    made = machine()
    first = made.handle(ev.SyncStarted(), 0.0)
    made.handle(ev.Rang("e", 2), 0.1)
    answer(made, first, page(2, upsert(1), upsert(2)), 0.2)
    assert made.state is FeedState.CURRENT
    assert made.is_caught_up


@pytest.mark.spec("SYNC-3")
def test_what_a_ring_told_of_is_live_even_when_a_catch_up_was_under_way() -> None:
    made = machine()
    first = made.handle(ev.SyncStarted(), 0.0)
    made.handle(ev.Rang("e", 1), 0.1)
    second = answer(made, first, page(0), 0.2)
    done = answer(made, second, page(1, upsert(1)), 0.3)
    assert [e.source for e in done if isinstance(e, do.PublishChanges)] == ["live"]


@pytest.mark.spec("SYNC-3")
def test_a_ring_of_another_epoch_in_flight_is_read_for() -> None:
    made = current(5)
    first = made.handle(ev.Rang("e", 6), 1.0)
    made.handle(ev.Rang("other", 2), 1.1)
    asked(answer(made, first, page(6, upsert(6)), 1.2))


@pytest.mark.spec("SYNC-3")
def test_an_answer_asked_before_the_join_does_not_make_live() -> None:
    made = machine()
    first = made.handle(ev.SyncStarted(), 0.0)
    made.handle(ev.SyncStarted(), 0.1)
    second = answer(made, first, page(0))
    assert not made.is_caught_up
    answer(made, second, page(0))
    assert made.is_caught_up


@pytest.mark.spec("SYNC-4")
def test_an_answer_to_an_earlier_request_is_ignored() -> None:
    made = machine()
    old = asked(made.handle(ev.SyncStarted(), 0.0))
    made.handle(ev.SyncStopped(), 0.1)
    made.handle(ev.SyncStarted(), 0.2)
    assert made.handle(ev.PullAnswered(old.request, page(1, upsert(1))), 0.3) == []
    assert made.replica.n == 0


@pytest.mark.spec("SYNC-5")
def test_a_blanked_upsert_moves_only_the_cursor() -> None:
    made = current()
    effects = answer(
        made, made.handle(ev.Rang("e", 1), 1.0), page(1, FeedChange(1, "jobs", "j", False, None))
    )
    assert published(effects) == []
    assert made.replica.n == 1


@pytest.mark.spec("SYNC-6")
def test_a_gap_is_never_applied() -> None:
    made = current()
    again = answer(made, made.handle(ev.Rang("e", 3), 1.0), page(3, upsert(1), upsert(3)))
    assert made.replica.n == 1
    assert asked(again).after_n == 1
    asked(answer(made, again, page(3, upsert(3))), do.RequestSnapshot)
    assert made.gap_count == 2


@pytest.mark.spec("SYNC-6")
def test_a_full_page_is_followed_by_the_next() -> None:
    made = current()
    more = answer(made, made.handle(ev.Rang("e", 4), 1.0), page(4, upsert(1), upsert(2)))
    assert asked(more).after_n == 2


@pytest.mark.spec("SYNC-7")
@pytest.mark.parametrize(
    "broken", [page(9, upsert(1), must_resync=True), PullPage("other", 1, (upsert(1),))]
)
def test_broken_continuity_applies_nothing_and_takes_a_snapshot(broken: PullPage) -> None:
    made = current()
    effects = answer(made, made.handle(ev.Rang("e", 1), 1.0), broken)
    asked(effects, do.RequestSnapshot)
    assert made.replica.n == 0


@pytest.mark.spec("SYNC-8")
def test_the_first_snapshot_is_silent_and_later_ones_tell_real_differences() -> None:
    made = SyncMachine("customer:1", CONFIG, lambda: 0.5)
    server = ModelServer()
    server.insert("jobs")
    server.insert("jobs")

    def snapshot() -> Snapshot:
        return Snapshot("e", server.n, {t: dict(r) for t, r in server.rows.items()},
                        server.digest())  # fmt: skip

    first = answer(made, made.handle(ev.SyncStarted(), 0.0), snapshot())
    assert published(first) == []
    server.update("jobs", 0)
    again = answer(made, made.handle(ev.Rang("e", 9), 1.0), page(9, must_resync=True))
    changes = published(answer(made, again, snapshot()))
    assert [(c.kind, c.row_id, c.previous["version"]) for c in changes] == [("update", "jobs-1", 1)]


@pytest.mark.spec("SYNC-9")
def test_rows_are_committed_before_they_are_told() -> None:
    made = current()
    effects = answer(made, made.handle(ev.Rang("e", 1), 1.0), page(1, upsert(1)))
    kinds = [type(effect) for effect in effects]
    assert kinds.index(do.CommitRows) < kinds.index(do.PublishChanges)
    commit = next(e for e in effects if isinstance(e, do.CommitRows)).commit
    assert (commit.n, [row_id for _, row_id, _ in commit.upserts]) == (1, ["j"])


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


@pytest.mark.spec("SYNC-12")
def test_a_ring_at_or_before_the_cursor_asks_nothing() -> None:
    made = current(5)
    assert made.handle(ev.Rang("e", 5), 1.0) == made.handle(ev.Rang("e", 4), 1.0) == []
    assert asked(made.handle(ev.Rang("e", 6), 1.0)).after_n == 5


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


@pytest.mark.spec("SYNC-14")
def test_a_failed_read_is_repeated_after_its_wait_and_not_before() -> None:
    made = machine()
    request = asked(made.handle(ev.SyncStarted(), 0.0)).request
    made.handle(ev.RequestFailed(request, ConnectError("down")), 1.0)
    assert made.state is FeedState.WAITING
    assert made.handle(ev.Rang("e", 9), 1.01) == made.handle_timer(1.04) == []
    asked(made.handle_timer(1.05))


@pytest.mark.spec("SYNC-14")
def test_a_server_that_says_how_long_to_wait_is_obeyed() -> None:
    made = machine()
    request = asked(made.handle(ev.SyncStarted(), 0.0)).request
    error = RateLimitedError("slow down", status=429, retry_after_s=7)
    made.handle(ev.RequestFailed(request, error), 1.0)
    assert made.handle_timer(7.9) == []
    asked(made.handle_timer(8.0))


@pytest.mark.spec("SYNC-15")
def test_a_change_unread_for_too_long_ends_being_caught_up() -> None:
    made = current()
    pull = made.handle(ev.Rang("e", 1), 10.0)
    made.handle_timer(10.9)
    assert made.is_caught_up
    made.handle_timer(11.0)
    assert not made.is_caught_up
    answer(made, pull, page(1, upsert(1)), 11.1)
    assert made.is_caught_up


@pytest.mark.spec("SYNC-15")
def test_a_failed_read_ends_being_caught_up_and_does_not_stop_the_clock_of_a_change() -> None:
    made = current()
    first = asked(made.handle(ev.Rang("e", 2), 10.0))
    made.handle(ev.RequestFailed(first.request, ConnectError("lost")), 10.1)
    assert not made.is_caught_up
    again_at = made.next_deadline() or 0.0
    assert 10.1 < again_at < 11.0
    again = made.handle_timer(again_at)
    assert not made.is_caught_up, "nothing was read since"
    # The answer is behind what the ring told of: that change has waited for less than a second.
    more = answer(made, again, page(1, upsert(1)), 10.9)
    assert made.is_caught_up
    more += made.handle_timer(11.0)
    assert not made.is_caught_up, "and now for longer, counted from the ring"
    answer(made, more, page(2, upsert(2)), 11.1)
    assert made.is_caught_up


@pytest.mark.spec("SYNC-16")
def test_stopping_forgets_requests_and_the_claim_of_being_caught_up() -> None:
    made = current()
    request = asked(made.handle(ev.Rang("e", 1), 1.0)).request
    made.handle(ev.SyncStopped(), 1.1)
    assert not made.is_caught_up
    assert made.next_deadline() is None
    assert not made.is_awaiting(request)


@pytest.mark.spec("SYNC-17")
def test_an_entry_seen_before_is_not_applied_again() -> None:
    made = current(1, {"jobs": {"j": {"id": "j", "version": 1}}})
    effects = answer(
        made, made.handle(ev.Rang("e", 2), 1.0), page(2, upsert(1, version=99), upsert(2))
    )
    assert [change.row["version"] for change in published(effects)] == [2]


@pytest.mark.spec("SYNC-18")
def test_a_revoked_scope_takes_every_row_back() -> None:
    world = World()
    world.server.insert("jobs")
    world.settle()
    world.assert_equal()
    world.server.is_linked = False
    world.settle()
    world.assert_equal()
    assert world.shadow == {}
    assert world.store.epoch is None


@pytest.mark.spec("SYNC-19")
def test_a_ring_that_overtakes_its_commit_is_looked_for_again() -> None:
    made = current()
    first = made.handle(ev.Rang("e", 1), 1.0)
    second = answer(made, first, page(0), 1.001)  # the commit is not visible yet
    assert asked(second).after_n == 0
    effects = answer(made, second, page(1, upsert(1)), 1.002)
    assert [change.row_id for change in published(effects)] == ["j"]
    assert made.next_deadline() is None


@pytest.mark.spec("SYNC-19")
def test_a_forged_position_costs_ten_looks() -> None:
    made = current()
    effects, now, looks = made.handle(ev.Rang("e", 10**9), 1.0), 1.0, 0
    while effects or made.next_deadline() is not None:
        if not effects:
            now = made.next_deadline() or now
            effects = made.handle_timer(now)
            continue
        looks += 1
        effects = answer(made, effects, page(0), now)
    assert looks == 11
    assert made.is_caught_up


@pytest.mark.spec("SYNC-15")
def test_a_busy_feed_does_not_keep_the_portal_from_being_live() -> None:
    """Rings that never stop make every pull ask for another; the portal is live all the same."""
    world = World()
    world.settle()
    for _ in range(30):
        world.write(lambda: world.server.insert("jobs"))
        world.ring(0)
        world.write(lambda: world.server.insert("jobs"))
        world.ring(0)
        world.deliver(0)
        assert world.core.state is SyncState.LIVE
