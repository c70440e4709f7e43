"""Rules that the machines keep together, with literal times and without a random history."""

from __future__ import annotations

from typing import Any

import pytest

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.connection import ConnectionMachine
from portal_sdk._core.connection_table import LinkState
from portal_sdk._core.feed import FeedChange, PullPage, Snapshot
from portal_sdk._core.session import PortalCore
from portal_sdk._core.token import TokenMachine, TokenState
from portal_sdk.config import PortalConfig
from portal_sdk.errors import (
    ConnectError,
    NoCustomerError,
    PermissionDeniedError,
    TokenRejectedError,
)
from portal_sdk.types import SyncState

CONFIG = PortalConfig()
DOWN = ConnectError("down")
ROW = {"id": "j", "version": 1}
ANN, BOB = "customer:ann", "customer:bob"


def rows() -> dict[str, dict[str, Any]]:
    return {"jobs": {"j": dict(ROW)}}


def only(effects: Any, kind: type) -> Any:
    found = [effect for effect in effects if isinstance(effect, kind)]
    assert len(found) == 1, effects
    return found[0]


def live_core() -> PortalCore:
    """A portal of Ann, live at second 1 with one stored row; its token lives an hour."""
    core = PortalCore(CONFIG, lambda: 0.5)
    core.handle(ev.Started(), 0.0)
    core.handle(ev.TokenAcquired("t1", "ann", 3600.0), 0.0)
    effects = core.handle(ev.StoreOpened(ANN, "e", 1, rows()), 0.0)
    generation = only(effects, do.OpenDoorbell).generation
    pull = only(core.handle(ev.DoorbellJoined(generation), 0.5), do.RequestPull)
    core.handle(ev.PullAnswered(pull.request, PullPage("e", 1, now="2026-01-01T00:00:00Z")), 1.0)
    assert core.state is SyncState.LIVE
    return core


def taken_back(effects: list[Any], *, erased: bool = True) -> bool:
    """Whether the effects tell that the rows are gone, and first erase the stored ones."""
    kinds = [type(effect) for effect in effects]
    told = only(effects, do.PublishChanges)
    assert kinds[: kinds.index(do.PublishChanges)].count(do.PurgeStore) == kinds.count(
        do.PurgeStore
    )
    assert (do.PurgeStore in kinds) == erased
    return [(c.kind, c.row_id) for c in told.changes] == [("delete", "j")]


@pytest.mark.spec("SYNC-18")
def test_rows_are_taken_back_when_the_database_refuses_the_scope() -> None:
    core = live_core()
    pull = only(
        core.handle(ev.DoorbellRang(core.connection.generation, "e", 2), 2.0), do.RequestPull
    )
    refusal = PermissionDeniedError("not yours", status=403, code="42501")
    assert taken_back(core.handle(ev.RequestFailed(pull.request, refusal), 2.1))
    assert core.replica.tables.get("jobs", {}) == {}
    assert core.state is not SyncState.LIVE


@pytest.mark.spec("SYNC-18")
@pytest.mark.parametrize("found", ["somebody else's", "nobody's"])
def test_rows_are_taken_back_when_the_user_is_another_customer_or_none(found: str) -> None:
    """Staff unlinked the login, or linked it to another customer, while the portal was away."""
    core = live_core()
    denied = ev.DoorbellLost(core.connection.generation, ev.LossKind.DENIED, DOWN)
    core.handle(denied, 2.0)
    question = only(core.handle_timer(core.next_deadline() or 0.0), do.ResolveScope).request
    answer: ev.Event = ev.ScopeResolved(question, BOB)
    if found == "nobody's":
        answer = ev.ScopeMissing(question, NoCustomerError("no customer"))
    assert taken_back(core.handle(answer, 4.0))
    assert core.replica.tables == {}
    assert core.sync.scope == (BOB if found == "somebody else's" else "")


@pytest.mark.spec("SYNC-18")
def test_rows_are_taken_back_when_somebody_else_signs_in() -> None:
    core = live_core()
    core.token_machine.handle(ev.TokenRejected(TokenRejectedError("no")), 2.0)
    effects = core.handle(ev.TokenAcquired("t2", "bob", 3600.0), 2.1)
    assert taken_back(effects, erased=False)
    assert only(effects, do.OpenStore).user_id == "bob"
    assert type(effects[-1]) is do.OpenStore
    assert only(effects, do.CloseDoorbell)
    assert (core.replica.tables, core.state) == ({}, SyncState.CONNECTING)


@pytest.mark.spec("SYNC-18")
def test_rows_of_somebody_who_was_signed_in_a_moment_ago_are_not_shown() -> None:
    """Reading a large store takes time; meanwhile another user's token may come."""
    core = PortalCore(CONFIG, lambda: 0.5)
    core.handle(ev.Started(), 0.0)
    core.handle(ev.TokenAcquired("t1", "ann", 3600.0), 0.0)
    core.token_machine.handle(ev.TokenRejected(TokenRejectedError("no")), 0.0)
    core.handle(ev.TokenAcquired("t2", "bob", 3600.0), 0.1)
    late = ev.StoreOpened(ANN, "e", 5, rows(), user_id="ann")
    assert core.handle(late, 0.2) == []
    assert (core.replica.tables, core.sync.scope) == ({}, "")
    core.handle(ev.StoreOpened(BOB, "e", 5, rows(), user_id="bob"), 0.3)
    assert (core.replica.tables, core.sync.scope) == (rows(), BOB)


@pytest.mark.spec("SYNC-24")
def test_nothing_that_a_token_alone_says_erases_the_store() -> None:
    """A server has to accept it first; what is committed afterwards takes the store over."""
    core = live_core()
    core.token_machine.handle(ev.TokenRejected(TokenRejectedError("no")), 2.0)
    effects = core.handle(ev.TokenAcquired("t2", "bob", 3600.0), 2.1)
    effects += core.handle(ev.StoreOpened(user_id="bob"), 2.2)
    question = only(effects, do.ResolveScope).request
    effects += core.handle(ev.ScopeFailed(question, DOWN), 2.3)
    effects += core.handle(ev.PauseAsked(), 2.4)
    effects += core.handle(ev.CloseAsked(), 2.5)
    stores = (do.PurgeStore, do.CommitRows)
    assert [effect for effect in effects if isinstance(effect, stores)] == []
    assert core.replica.tables == {}


@pytest.mark.spec("SYNC-24")
def test_rows_that_come_back_with_their_user_are_told_of_again() -> None:
    """The application was told that they are gone."""
    core = live_core()
    core.token_machine.handle(ev.TokenRejected(TokenRejectedError("no")), 2.0)
    core.handle(ev.TokenAcquired("t2", "bob", 3600.0), 2.1)
    core.handle(ev.StoreOpened(user_id="bob"), 2.2)
    core.token_machine.handle(ev.TokenRejected(TokenRejectedError("no")), 2.3)
    core.handle(ev.TokenAcquired("t3", "ann", 3600.0), 2.4)
    effects = core.handle(ev.StoreOpened(ANN, "e", 1, rows(), user_id="ann"), 2.5)
    told = only(effects, do.PublishChanges)
    core.replica.tables["jobs"].clear()
    changes = [(c.kind, c.row_id, c.row, c.previous, c.n) for c in told.changes]
    assert (told.source, changes) == ("resync", [("insert", "j", ROW, None, 1)])
    assert core.state is not SyncState.LIVE


@pytest.mark.spec("CONN-10")
def test_without_an_answer_within_the_verify_interval_it_is_stale_and_an_answer_mends_it() -> None:
    core = live_core()
    asked = core.handle_timer(0.0 + CONFIG.verify_interval_s * 2 / 3)
    head = only(asked, do.RequestHead)
    core.handle_timer(1.0 + CONFIG.verify_interval_s - 0.01)
    assert core.state is SyncState.LIVE
    core.handle_timer(1.0 + CONFIG.verify_interval_s)
    assert core.state is SyncState.STALE
    core.handle(ev.RequestFailed(head.request, DOWN), 32.0)
    assert core.state is not SyncState.LIVE


@pytest.mark.spec("CONN-1")
def test_an_answer_to_an_earlier_question_who_the_customer_is_is_ignored() -> None:
    made = ConnectionMachine(CONFIG, lambda: 0.5)
    made.handle(ev.Authorized("u", None), 0.0)
    old = made.generation
    made.handle(ev.PauseAsked(), 0.1)
    made.handle(ev.ResumeAsked(), 0.2)
    made.handle(ev.Authorized("u", None), 0.3)
    assert made.handle(ev.ScopeResolved(old, ANN), 0.4) == []
    assert made.handle(ev.ScopeMissing(old, NoCustomerError("no")), 0.4) == []
    assert (made.state, made.scope) == (LinkState.IDENTIFYING, None)


@pytest.mark.spec("CONN-8")
def test_a_socket_that_answered_is_asked_again_after_the_same_silence() -> None:
    made = ConnectionMachine(CONFIG, lambda: 0.5)
    made.handle(ev.Authorized("u", ANN), 0.0)
    made.handle(ev.DoorbellJoined(made.generation), 0.0)
    asked_at = []
    for _ in range(3):
        now = made.next_deadline() or 0.0
        while not any(isinstance(effect, do.SendHeartbeat) for effect in made.handle_timer(now)):
            now = made.next_deadline() or 0.0
        asked_at.append(now)
        made.handle(ev.HeartbeatAnswered(made.generation), now)
    assert asked_at == [20.0, 40.0, 60.0]


@pytest.mark.spec("CONN-11")
def test_after_a_sleep_a_token_that_was_waited_for_is_asked_for_at_once() -> None:
    core = PortalCore(CONFIG, lambda: 0.5)
    core.handle(ev.Started(), 0.0)
    core.handle(ev.TokenFailed(DOWN), 0.0)
    assert (core.next_deadline() or 0.0) > 0.1
    core.handle(ev.ClockJumped(), 0.1)
    assert core.handle_timer(0.1) == [do.FetchToken(renew=False)]


@pytest.mark.spec("CONN-13")
def test_what_was_asked_before_a_pause_changes_nothing_after_it() -> None:
    core = live_core()
    pull = only(
        core.handle(ev.DoorbellRang(core.connection.generation, "e", 2), 2.0), do.RequestPull
    )
    core.handle(ev.PauseAsked(), 2.1)
    assert (core.state, core.next_deadline()) == (SyncState.OFFLINE, None)
    entry = FeedChange(2, "jobs", "j", False, {"id": "j", "version": 2})
    assert core.handle(ev.PullAnswered(pull.request, PullPage("e", 2, (entry,))), 2.2) == []
    snapshot = Snapshot("e", 2, {"jobs": {}}, {})
    assert core.handle(ev.SnapshotAnswered(pull.request, snapshot), 2.2) == []
    assert core.replica.tables == rows()


@pytest.mark.spec("TOKEN-2")
def test_a_renewed_token_is_given_to_the_open_channel() -> None:
    core = live_core()
    assert do.FetchToken(renew=True) in core.handle_timer(3600.0 * 0.65)
    effects = core.handle(ev.TokenAcquired("t2", "ann", 3600.0), 2400.0)
    pushed = only(effects, do.PushToken)
    assert (pushed.generation, pushed.token) == (core.connection.generation, "t2")


@pytest.mark.spec("TOKEN-6")
def test_an_accepted_token_ends_the_count_of_rejected_ones() -> None:
    made, rejected = TokenMachine(CONFIG, lambda: 0.5), ev.TokenRejected(TokenRejectedError("no"))
    made.handle(ev.Started(), 0.0)
    made.handle(ev.TokenAcquired("t", "u", 1000.0), 0.0)
    for _ in range(10):
        for _ in range(2):
            assert made.handle(rejected, 1.0) == [do.FetchToken(renew=True)]
            made.handle(ev.TokenAcquired("t", "u", 1000.0), 1.0)
        made.handle(ev.TokenAccepted(), 1.0)
    assert made.state is TokenState.VALID
