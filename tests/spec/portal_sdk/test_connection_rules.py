"""Each rule of docs/protocol/connection.md, with literal times."""

from __future__ import annotations

from typing import Any

import pytest

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.backoff import jittered_delay_s
from portal_sdk._core.connection import ConnectionMachine
from portal_sdk._core.connection_table import LinkState
from portal_sdk._core.token import TokenMachine, TokenState
from portal_sdk.config import PortalConfig
from portal_sdk.errors import (
    ConnectError,
    RateLimitedError,
    RequestTimeoutError,
    SignInRefusedError,
    TokenRejectedError,
)
from portal_sdk.types import SyncState
from tests.spec.portal_sdk.world import World

CONFIG = PortalConfig()
DOWN = ConnectError("down")


def link(unit: float = 0.5) -> ConnectionMachine:
    return ConnectionMachine(CONFIG, lambda: unit)


def opening(unit: float = 0.5) -> ConnectionMachine:
    made = link(unit)
    made.handle(ev.Authorized("u", "customer:1"), 0.0)
    return made


def joined(now: float = 0.0) -> ConnectionMachine:
    made = opening()
    made.handle(ev.DoorbellJoined(made.generation), now)
    return made


def lose(made: ConnectionMachine, now: float, kind: ev.LossKind = ev.LossKind.NETWORK) -> Any:
    return made.handle(ev.DoorbellLost(made.generation, kind, DOWN), now)


def kinds(effects: Any) -> list[type]:
    return [type(effect) for effect in effects]


@pytest.mark.spec("CONN-1")
def test_facts_of_an_earlier_socket_are_ignored() -> None:
    made = joined()
    old = made.generation
    lose(made, 1.0)
    made.handle_timer(2.0)
    made.handle(ev.DoorbellJoined(made.generation), 2.1)
    assert made.generation != old
    assert made.handle(ev.DoorbellLost(old, ev.LossKind.NETWORK, DOWN), 2.2) == []
    assert made.state is LinkState.JOINED


@pytest.mark.spec("CONN-2")
def test_a_known_scope_is_joined_and_an_unknown_one_is_asked_for() -> None:
    assert kinds(link().handle(ev.Authorized("u", "customer:1"), 0.0)) == [do.OpenDoorbell]
    assert kinds(link().handle(ev.Authorized("u", None), 0.0)) == [do.ResolveScope]


@pytest.mark.spec("CONN-3")
def test_the_scope_joined_is_the_one_the_database_named() -> None:
    made = link()
    made.handle(ev.Authorized("u", None), 0.0)
    effects = made.handle(ev.ScopeResolved(made.generation, "customer:9"), 0.1)
    assert [e.scope for e in effects if isinstance(e, do.OpenDoorbell)] == ["customer:9"]


@pytest.mark.spec("CONN-4")
def test_a_refusal_blocks_without_any_deadline() -> None:
    made = joined()
    effects = made.handle(ev.AuthRefused(SignInRefusedError("no")), 1.0)
    assert kinds(effects) == [do.CloseDoorbell]
    assert (made.state, made.next_deadline()) == (LinkState.BLOCKED, None)


@pytest.mark.spec("CONN-4")
def test_a_missing_customer_is_asked_for_again() -> None:
    world = World()
    world.server.is_linked = False
    world.settle()
    assert world.core.state is SyncState.NEEDS_AUTH
    world.server.is_linked = True
    world.settle()
    world.assert_equal()


@pytest.mark.spec("CONN-5")
def test_a_join_orders_the_catch_up() -> None:
    made = opening()
    assert kinds(made.handle(ev.DoorbellJoined(made.generation), 0.1)) == [do.CatchUp]


@pytest.mark.spec("CONN-6")
@pytest.mark.parametrize("kind", list(ev.LossKind))
def test_no_number_of_failures_ends_the_attempts(kind: ev.LossKind) -> None:
    made, now = opening(), 0.0
    for _ in range(1000):
        lose(made, now, kind)
        now = 1.0 + max(now, made._deadlines["retry"])
        made.handle_timer(now)
        if made.state is LinkState.IDENTIFYING:
            made.handle(ev.ScopeResolved(made.generation, "customer:1"), now)
        assert made.state is LinkState.OPENING


@pytest.mark.spec("CONN-7")
def test_waits_are_jittered_grow_and_are_capped() -> None:
    ceilings = [jittered_delay_s(a, 1.0, base_s=0.1, cap_s=4.0) for a in range(6)]
    assert ceilings == pytest.approx([0.1, 0.4, 1.6, 4.0, 4.0, 4.0])
    assert jittered_delay_s(10**6, 0.5, base_s=0.1, cap_s=4.0) == 2.0
    assert jittered_delay_s(0, 0.0, base_s=0.1, cap_s=4.0) == 0.0


@pytest.mark.spec("CONN-7")
@pytest.mark.parametrize("unit", [0.0, 0.5, 0.999])
def test_accept_then_close_opens_at_most_five_sockets_in_five_seconds(unit: float) -> None:
    made, now, opens = opening(unit), 0.0, [0.0]
    while now < 30.0:
        if made.state is LinkState.OPENING:
            made.handle(ev.DoorbellJoined(made.generation), now)
            lose(made, now)
        now = max(now, made.next_deadline() or 0.0)
        opens += [now for e in made.handle_timer(now) if isinstance(e, do.OpenDoorbell)]
    assert max(sum(at <= other < at + 5.0 for other in opens) for at in opens) <= 5


@pytest.mark.spec("CONN-7")
def test_only_a_stable_while_resets_the_back_off() -> None:
    made = joined()
    lose(made, 1.0)
    made.handle_timer(2.0)
    made.handle(ev.DoorbellJoined(made.generation), 2.0)
    assert made._backoff.attempt == 1
    made.handle_timer(11.9)
    assert made._backoff.attempt == 1
    made.handle_timer(12.0)
    assert made._backoff.attempt == 0


@pytest.mark.spec("CONN-7")
def test_a_rate_limit_waits_longer() -> None:
    made = opening()
    lose(made, 1.0, ev.LossKind.RATE_LIMITED)
    assert made._deadlines["retry"] >= 1.0 + CONFIG.rate_limit_wait_s / 2


@pytest.mark.spec("CONN-8")
def test_an_unanswered_heartbeat_replaces_the_socket() -> None:
    made = joined()
    assert do.SendHeartbeat in kinds(made.handle_timer(20.0))
    assert do.CloseDoorbell in kinds(made.handle_timer(30.0))
    assert made.state is LinkState.WAITING


@pytest.mark.spec("CONN-8")
def test_an_answered_heartbeat_keeps_the_socket() -> None:
    made = joined()
    made.handle_timer(20.0)
    made.handle(ev.HeartbeatAnswered(made.generation), 21.0)
    made.handle_timer(31.0)
    assert made.state is LinkState.JOINED


@pytest.mark.spec("CONN-9")
def test_a_doubted_doorbell_is_replaced() -> None:
    made = joined()
    assert kinds(made.handle(ev.DoorbellDoubted(DOWN), 1.0)) == [do.CloseDoorbell]
    assert do.OpenDoorbell in kinds(made.handle_timer(2.0))


@pytest.mark.spec("CONN-10")
def test_verified_ends_without_answers() -> None:
    made = joined()
    made.handle(ev.DatabaseAnswered(was_head=False), 1.0)
    assert do.AskHead in kinds(made.handle_timer(20.0))
    made.handle_timer(30.9)
    assert made.is_verified
    made.handle_timer(31.0)
    assert not made.is_verified


@pytest.mark.spec("CONN-10")
def test_a_database_failure_does_not_touch_the_socket() -> None:
    made = joined()
    assert made.handle(ev.DatabaseFailed(was_head=True, error=DOWN), 1.0) == []
    assert made.state is LinkState.JOINED


@pytest.mark.spec("CONN-11")
def test_a_sleep_ends_verified_and_probes_both_paths() -> None:
    made = joined()
    made.handle(ev.DatabaseAnswered(was_head=True), 1.0)
    made.handle(ev.ClockJumped(), 2.0)
    assert not made.is_verified
    assert {do.AskHead, do.SendHeartbeat} <= set(kinds(made.handle_timer(2.0)))


@pytest.mark.spec("CONN-12")
def test_polling_begins_after_two_failures_and_ends_with_a_join() -> None:
    made = opening()
    lose(made, 0.0)
    assert not made.is_polling
    made.handle_timer(1.0)
    assert do.CatchUp in kinds(lose(made, 1.0))
    assert do.AskPoll in kinds(made.handle_timer(3.0))
    made.handle(ev.DoorbellJoined(made.generation), 3.1)
    assert not made.is_polling
    assert do.AskPoll not in kinds(made.handle_timer(6.0))


@pytest.mark.spec("CONN-12")
def test_polling_begins_unverified_whatever_was_answered_before() -> None:
    made = joined()
    made.handle(ev.DatabaseAnswered(was_head=True), 1.0)
    lose(made, 1.5)
    assert made.is_verified
    made.handle_timer(2.5)
    lose(made, 2.5)
    assert (made.is_polling, made.is_verified) == (True, False)
    made.handle(ev.DatabaseAnswered(was_head=False), 2.6)
    assert made.is_verified


@pytest.mark.spec("CONN-12")
def test_until_the_first_poll_is_answered_nothing_says_that_the_server_is_there() -> None:
    world = World()
    world.settle()
    world.refuses_doorbell = True
    world.cut()
    while not world.core.connection.is_polling:
        if world.pending:
            world.deliver(0)
        else:
            world.advance(0.1)
    assert world.core.state is SyncState.STALE
    (pull,) = [n for n, item in enumerate(world.pending) if isinstance(item.effect, do.RequestPull)]
    world.deliver(pull)
    assert world.core.state is SyncState.LIVE


@pytest.mark.spec("CONN-12")
def test_a_denied_channel_asks_again_who_the_customer_is() -> None:
    made = opening()
    lose(made, 0.0, ev.LossKind.DENIED)
    assert kinds(made.handle_timer(1.0)) == [do.ResolveScope]


@pytest.mark.spec("CONN-13")
def test_paused_has_no_socket_and_no_deadline_and_resume_goes_on() -> None:
    world = World()
    world.settle()
    world.post(ev.PauseAsked())
    assert world.core.next_deadline() is None
    assert (world.core.state, world.open_generation) == (SyncState.OFFLINE, None)
    world.write(lambda: world.server.insert("jobs"))
    world.post(ev.ResumeAsked())
    world.settle()
    world.assert_equal()


@pytest.mark.spec("CONN-14")
def test_closed_is_final() -> None:
    world = World()
    world.settle()
    world.post(ev.CloseAsked())
    world.post(ev.ResumeAsked())
    world.advance(100.0)
    assert world.core.state is SyncState.CLOSED
    assert world.core.next_deadline() is None


@pytest.mark.spec("CONN-15")
def test_the_state_follows_the_facts() -> None:
    world = World()
    assert world.core.state is SyncState.CONNECTING
    world.settle()
    assert world.core.state is SyncState.LIVE
    world.cut()
    assert world.core.state is SyncState.STALE
    world.server.is_up = False
    for _ in range(20):
        while world.pending:
            world.deliver(0)
        world.advance(3.0)
    assert world.core.state is SyncState.OFFLINE
    world.settle()
    assert world.core.state is SyncState.LIVE


# The token.


def token() -> TokenMachine:
    made = TokenMachine(CONFIG, lambda: 0.5)
    made.handle(ev.Started(), 0.0)
    return made


def valid(life_s: float = 1000.0) -> TokenMachine:
    made = token()
    made.handle(ev.TokenAcquired("t", "u", life_s), 0.0)
    return made


@pytest.mark.spec("TOKEN-1")
def test_a_second_start_fetches_nothing() -> None:
    assert token().handle(ev.Started(), 0.1) == []


@pytest.mark.spec("TOKEN-2")
def test_a_fresh_token_ends_the_retries() -> None:
    made = token()
    made.handle(ev.TokenFailed(DOWN), 0.0)
    made.handle(ev.TokenAcquired("t", "u", None), 0.1)
    assert (made.state, made.next_deadline()) == (TokenState.VALID, None)


@pytest.mark.spec("TOKEN-3")
def test_a_token_is_renewed_between_half_and_four_fifths_of_its_life() -> None:
    for unit, at in ((0.0, 500.0), (0.5, 650.0), (0.999, 799.7)):
        made = TokenMachine(CONFIG, lambda unit=unit: unit)
        made.handle(ev.Started(), 0.0)
        made.handle(ev.TokenAcquired("t", "u", 1000.0), 0.0)
        assert made.next_deadline() == pytest.approx(at)
        assert made.handle_timer(at + 0.01) == [do.FetchToken(renew=True)]


@pytest.mark.spec("TOKEN-4")
def test_an_auth_outage_is_retried_past_the_tokens_end() -> None:
    made = valid()
    effects, now = made.handle_timer(650.0), 650.0
    while now < 5000.0:
        if effects:
            made.handle(ev.TokenFailed(DOWN), now)
        now = max(now + 0.001, made.next_deadline() or 0.0)
        effects = made.handle_timer(now)
    assert not made.has_token
    assert made.state in {TokenState.WAITING, TokenState.FETCHING}


@pytest.mark.spec("TOKEN-4")
def test_a_rate_limit_of_the_auth_server_is_obeyed() -> None:
    made = token()
    made.handle(ev.TokenFailed(RateLimitedError("x", status=429, retry_after_s=60)), 0.0)
    assert made.next_deadline() == 60.0


@pytest.mark.spec("TOKEN-5")
def test_a_refusal_waits_for_a_person() -> None:
    made = token()
    made.handle(ev.TokenRefused(SignInRefusedError("no")), 0.0)
    assert (made.state, made.next_deadline()) == (TokenState.REFUSED, None)
    assert made.handle(ev.ResumeAsked(), 9.0) == [do.FetchToken(renew=False)]


@pytest.mark.spec("TOKEN-6")
def test_the_third_fresh_token_rejected_is_a_refusal() -> None:
    made, rejected = valid(), ev.TokenRejected(TokenRejectedError("no"))
    for _ in range(2):
        assert made.handle(rejected, 1.0) == [do.FetchToken(renew=True)]
        made.handle(ev.TokenAcquired("t", "u", 1000.0), 1.0)
    made.handle(rejected, 1.0)
    assert made.state is TokenState.REFUSED


@pytest.mark.spec("TOKEN-8")
def test_a_token_that_is_late_is_waited_for_longer_until_one_comes() -> None:
    made, now, waited = token(), 0.0, []
    for _ in range(4):
        made.handle(ev.TokenFailed(RequestTimeoutError("late")), now)
        now = made.next_deadline() or 0.0
        waited += [effect.patience for effect in made.handle_timer(now)]
    assert waited == [2, 3, 3, 3]
    made.handle(ev.TokenAcquired("t", "u", 10.0), now)
    assert [effect.patience for effect in made.handle_timer(now + 6.5)] == [1]


@pytest.mark.spec("TOKEN-8")
def test_an_outage_is_no_reason_for_patience() -> None:
    made = token()
    made.handle(ev.TokenFailed(DOWN), 0.0)
    assert made.handle_timer(made.next_deadline() or 0.0) == [do.FetchToken(renew=False)]


@pytest.mark.spec("TOKEN-7")
def test_pausing_forgets_the_timers() -> None:
    made = valid()
    made.handle(ev.PauseAsked(), 1.0)
    assert made.next_deadline() is None
