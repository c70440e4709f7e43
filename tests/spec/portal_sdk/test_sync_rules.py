"""The rules of docs/protocol/sync.md on reading the feed, with literal times."""

from __future__ import annotations

import pytest

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.feed import FeedChange, PullPage, Snapshot
from portal_sdk._core.sync import SyncMachine
from portal_sdk._core.sync_table import FeedState
from portal_sdk.errors import ConnectError, RateLimitedError
from portal_sdk.types import SyncState
from tests.spec.portal_sdk.model_server import ModelServer
from tests.spec.portal_sdk.sync_steps import (
    CONFIG,
    answer,
    asked,
    current,
    machine,
    page,
    published,
    upsert,
)
from tests.spec.portal_sdk.world import World


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


@pytest.mark.spec("SYNC-12")
def test_a_ring_at_or_before_the_cursor_asks_nothing() -> None:
    made = current(5)
    assert made.handle(ev.Rang("e", 5), 1.0) == made.handle(ev.Rang("e", 4), 1.0) == []
    assert asked(made.handle(ev.Rang("e", 6), 1.0)).after_n == 5


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
