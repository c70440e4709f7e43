"""CONN-16, SYNC-20, SYNC-21: several doorbells, entries in the ring, recalled rows."""

from __future__ import annotations

from typing import Any

import pytest

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.connection import ConnectionMachine
from portal_sdk._core.connection_table import LinkState
from portal_sdk._core.feed import FeedChange, Head, PullPage
from portal_sdk._core.sync import SyncMachine
from portal_sdk._core.sync_table import FeedState
from portal_sdk.config import PortalConfig
from portal_sdk.errors import ConfigurationError, ConnectError
from portal_sdk.types import SyncState
from tests.spec.portal_sdk.world import World

DOWN = ConnectError("down")
CHANNEL, NETWORK = ev.LossKind.CHANNEL, ev.LossKind.NETWORK


def machine(**settings: Any) -> ConnectionMachine:
    made = ConnectionMachine(PortalConfig(**settings), lambda: 0.5)
    made.handle(ev.Authorized("u", "customer:1"), 0.0)
    return made


def lose(made: ConnectionMachine, now: float, kind: ev.LossKind = CHANNEL) -> float:
    """Lose the doorbell and let the next one be opened; return the time then."""
    made.handle(ev.DoorbellLost(made.generation, kind, DOWN), now)
    while made.state is LinkState.WAITING:
        now = made.next_deadline() or now
        made.handle_timer(now)
    return now


def join(made: ConnectionMachine, now: float) -> None:
    made.handle(ev.DoorbellJoined(made.generation), now)
    assert made.state is LinkState.JOINED


@pytest.mark.spec("CONN-16")
def test_the_second_refused_join_changes_the_doorbell() -> None:
    made = machine()
    assert made.doorbell == "broadcast"
    now = lose(made, 1.0)
    assert made.doorbell == "broadcast"
    lose(made, now)
    assert made.doorbell == "postgres_changes"


@pytest.mark.spec("CONN-16")
def test_a_lost_network_never_changes_the_doorbell() -> None:
    made = machine()
    now = 1.0
    for _ in range(20):
        now = lose(made, now, NETWORK)
        assert made.doorbell == "broadcast"


@pytest.mark.spec("CONN-16")
def test_a_deaf_doorbell_counts_and_a_ring_clears() -> None:
    made = machine()
    for now in (10.0, 20.0):
        join(made, now)
        made.handle(ev.DoorbellRang(made.generation, "e", 1), now + 1)
        made.handle(ev.DoorbellDoubted(DOWN), now + 2)
        made.handle_timer(now + 8)
    assert made.doorbell == "broadcast"
    join(made, 30.0)
    made.handle(ev.DoorbellDoubted(DOWN), 31.0)
    made.handle_timer(40.0)
    assert made.doorbell == "postgres_changes"


@pytest.mark.spec("CONN-16")
def test_the_first_doorbell_is_tried_again_at_growing_pauses() -> None:
    made = machine(doorbell_return_s=300.0)
    now = lose(made, lose(made, 1.0))
    for pause in (300.0, 600.0, 1200.0):
        assert made.doorbell == "postgres_changes"
        join(made, now)
        made.handle(ev.DoorbellRang(made.generation, None, 5), now + 1)
        made.handle_timer(now + pause - 1)
        assert made.doorbell == "postgres_changes"
        effects = made.handle_timer(now + pause)
        assert [type(effect) for effect in effects][-2:] == [do.CloseDoorbell, do.OpenDoorbell]
        assert made.doorbell == "broadcast"
        now = lose(made, now + pause + 1)  # one complaint is enough in a trial
    assert made.doorbell == "postgres_changes"


@pytest.mark.spec("CONN-16")
def test_a_first_doorbell_that_rings_again_is_kept() -> None:
    made = machine(doorbell_return_s=300.0)
    now = lose(made, lose(made, 1.0))
    join(made, now)
    made.handle_timer(now + 300.0)
    join(made, now + 301.0)
    made.handle(ev.DoorbellRang(made.generation, "e", 1), now + 302.0)
    lose(made, now + 303.0)
    assert made.doorbell == "broadcast"


@pytest.mark.spec("CONN-16")
def test_without_doorbells_the_portal_polls() -> None:
    made = machine(doorbells=())
    assert made.is_polling
    assert made.handle_timer(2.0) == [do.AskPoll()]


@pytest.mark.spec("CONN-16")
def test_unknown_and_repeated_doorbells_are_refused() -> None:
    for doorbells in (("telegram",), ("broadcast", "broadcast")):
        with pytest.raises(ConfigurationError, match="doorbells"):
            PortalConfig(doorbells=doorbells)  # type: ignore[arg-type]


def feed(n: int) -> SyncMachine:
    """A current machine at position ``n``."""
    made = SyncMachine("customer:1", PortalConfig(), lambda: 0.5)
    made.load("e", n, {"jobs": {}})
    pull(made, made.handle(ev.SyncStarted(), 0.0), PullPage("e", n))
    assert made.state is FeedState.CURRENT
    return made


def pull(made: SyncMachine, effects: list[Any], page: PullPage, now: float = 0.0) -> list[Any]:
    (request,) = [effect for effect in effects if isinstance(effect, do.RequestPull)]
    return made.handle(ev.PullAnswered(request.request, page), now)


def entry(n: int, row: Any = "row") -> FeedChange:
    return FeedChange(n, "jobs", "j", False, {"id": "j", "version": n} if row == "row" else row)


@pytest.mark.spec("SYNC-20")
def test_the_next_entry_is_applied_without_a_read() -> None:
    made = feed(7)
    effects = made.handle(ev.Rang(None, 8, entry(8)), 1.0)
    assert [type(effect) for effect in effects] == [do.CommitRows, do.PublishChanges]
    assert made.replica.n == 8
    assert made.state is FeedState.CURRENT


@pytest.mark.spec("SYNC-20")
@pytest.mark.parametrize("change", [entry(9), entry(8, None)], ids=["gap", "blank"])
def test_any_other_entry_is_an_ordinary_ring(change: FeedChange) -> None:
    made = feed(7)
    effects = made.handle(ev.Rang(None, change.n, change), 1.0)
    assert [type(effect) for effect in effects] == [do.RequestPull]
    assert made.replica.n == 7


@pytest.mark.spec("SYNC-20")
def test_an_entry_read_before_causes_no_request() -> None:
    made = feed(7)
    assert made.handle(ev.Rang(None, 7, entry(7)), 1.0) == []


@pytest.mark.spec("SYNC-20")
def test_an_entry_while_reading_is_read_afterwards() -> None:
    made = feed(7)
    effects = made.handle(ev.Rang("e", 8), 1.0)
    assert made.handle(ev.Rang(None, 8, entry(8)), 1.0) == []
    assert made.replica.n == 7
    pull(made, effects, PullPage("e", 8, (entry(8),)))
    assert made.replica.n == 8


@pytest.mark.spec("SYNC-20")
def test_an_entry_that_proves_a_digest_wrong_takes_a_snapshot() -> None:
    made = feed(7)
    made.handle(ev.Rang(None, 8, entry(8)), 1.0)
    effects = made.handle(ev.HeadWanted(), 2.0)
    wrong = Head("e", 8, {"jobs": (5, "0" * 15)})
    answered = made.handle(ev.HeadAnswered(effects[0].request, wrong), 2.0)  # type: ignore[union-attr]
    assert [type(effect) for effect in answered] == [do.RequestSnapshot]


@pytest.mark.spec("SYNC-20")
def test_an_answer_ahead_is_asked_for_once_more() -> None:
    made = feed(7)
    ahead = PullPage("e", 6, must_resync=True, reason="ahead")
    effects = pull(made, made.handle(ev.Rang("e", 8), 1.0), ahead)
    effects = pull(made, effects, ahead)
    assert [type(effect) for effect in effects] == [do.RequestSnapshot]


@pytest.mark.spec("SYNC-21")
def test_a_start_without_a_network_shows_the_rows_of_the_last_sign_in() -> None:
    world = World()
    world.settle()
    world.write(lambda: world.server.insert("jobs"))
    world.settle()
    rows = dict(world.store.rows)
    world.server.is_up = False
    world.cut()
    world.start()
    world.deliver(0)
    assert world.core.state is SyncState.OFFLINE
    assert world.shadow == rows
    assert world.core.replica.n == world.store.n
    world.settle()
    world.assert_equal()
    assert world.core.sync.resync_count == 0
