"""The rules of docs/protocol/presence.md on the pure machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal_sdk._core import room as do
from portal_sdk._core.events import LossKind
from portal_sdk._core.presence import PresenceRoster
from portal_sdk._core.room import RoomMachine, RoomState
from portal_sdk._core.typing import TypingRoster
from portal_sdk.config import PortalConfig
from portal_sdk.errors import ConnectionLostError

CONFIG = PortalConfig()
LOST = ConnectionLostError("cut")
DOCS = Path(__file__).parents[3] / "docs" / "protocol" / "presence.md"
TESTS = Path(__file__).parents[2]


def joined_room(meta: Any = None) -> RoomMachine:
    machine = RoomMachine(CONFIG, lambda: 0.5)
    if meta is not None:
        machine.track(meta, 0.0)
    machine.open(0.0)
    machine.joined(1, 0.0)
    return machine


def kinds(effects: list[Any]) -> list[type]:
    return [type(effect) for effect in effects]


@pytest.mark.spec("ROOM-1")
def test_facts_of_another_generation_change_nothing() -> None:
    """A late close of the first socket does not end the second."""
    machine = joined_room()
    machine.lost(1, LossKind.NETWORK, LOST, 1.0)
    machine.handle_timer(10.0)
    machine.joined(2, 10.0)
    assert machine.lost(1, LossKind.CHANNEL, LOST, 11.0) == []
    assert machine.joined(1, 11.0) == []
    assert machine.state is RoomState.JOINED


@pytest.mark.spec("ROOM-2")
@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from(list(LossKind)), min_size=5, max_size=20),
    st.floats(0, 1, exclude_max=True),
)
def test_a_room_never_gives_up_and_never_storms(losses: list[LossKind], chance: float) -> None:
    """Whatever ends it, there is a next attempt, and the waits grow to the cap."""
    machine = RoomMachine(CONFIG, lambda: chance)
    now = 0.0
    machine.open(now)
    for kind in losses:
        machine.joined(machine.generation, now)
        machine.lost(machine.generation, kind, LOST, now)
        deadline = machine.next_deadline()
        assert deadline is not None
        wait_s = deadline - now
        assert wait_s < CONFIG.backoff_cap_s + CONFIG.rate_limit_wait_s + 0.001
        if kind is LossKind.RATE_LIMITED:
            assert wait_s > CONFIG.rate_limit_wait_s - 0.001
        now = deadline
        assert do.OpenRoom in kinds(machine.handle_timer(now))
    assert machine._backoff.attempt == len(losses)


@pytest.mark.spec("ROOM-3")
def test_a_resting_room_has_no_socket_until_it_is_opened() -> None:
    """Paused: dropped and silent. Opened again: a new generation."""
    machine = joined_room({"a": 1})
    assert do.DropRoom in kinds(machine.rest())
    assert machine.next_deadline() is None
    assert kinds(machine.open(50.0)) == [do.OpenRoom]
    assert do.SendTrack in kinds(machine.joined(2, 50.0))


@pytest.mark.spec("ROOM-2")
def test_only_a_stable_while_resets_the_waits_and_a_refusal_waits_longer() -> None:
    machine = joined_room()
    waits = []
    for number in range(4):
        now = 1_000.0 * number
        machine.lost(machine.generation, LossKind.NETWORK, LOST, now)
        waits.append((machine.next_deadline() or 0.0) - now)
        machine.handle_timer(now + waits[-1])
        machine.joined(machine.generation, now + 5.0)
        if number == 2:
            machine.handle_timer(now + 5.0 + CONFIG.stable_after_s)
    assert waits[0] < waits[1] < waits[2]
    assert waits[3] == pytest.approx(waits[0])
    machine.lost(machine.generation, LossKind.DENIED, LOST, 9_000.0)
    assert (machine.next_deadline() or 0.0) >= 9_030.0


@pytest.mark.spec("ROOM-4")
def test_an_unanswered_heartbeat_replaces_the_socket() -> None:
    """An answer in time keeps it."""
    machine = joined_room()
    machine.handle_timer(CONFIG.stable_after_s)
    assert kinds(machine.handle_timer(20.0)) == [do.BeatRoom]
    machine.beaten(1, 21.0)
    assert kinds(machine.handle_timer(41.0)) == [do.BeatRoom]
    assert kinds(machine.handle_timer(51.0)) == [do.DropRoom, do.ReportLost]
    silent = RoomMachine(CONFIG, lambda: 0.5)
    silent.open(0.0)
    assert do.ReportLost in kinds(silent.handle_timer(CONFIG.join_timeout_s))


def entry(ref: str, **meta: Any) -> dict[str, Any]:
    return {"metas": [{"phx_ref": ref, **meta}]}


@pytest.mark.spec("PRES-1")
def test_members_are_kept_by_key_and_reported_by_difference() -> None:
    """An update comes as join and leave of one key; a second device is an update, too."""
    roster = PresenceRoster()
    assert [c.kind for c in roster.take_state({"a": entry("1", x=1)})] == ["joined"]
    changed = {"joins": {"a": entry("2", phx_ref_prev="1", x=2)}, "leaves": {"a": entry("1", x=1)}}
    (change,) = roster.take_diff(changed)
    assert (change.kind, change.member.meta, change.previous.metas) == (
        "updated", {"x": 2}, ({"x": 1},),
    )  # fmt: skip
    (change,) = roster.take_diff({"joins": {"a": entry("9", x=9)}, "leaves": {}})
    assert (change.kind, len(change.member.metas)) == ("updated", 2)
    gone = {"joins": {}, "leaves": {"a": {"metas": [{"phx_ref": "2"}, {"phx_ref": "9"}]}}}
    assert [c.kind for c in roster.take_diff(gone)] == ["left"]
    assert roster.members == {}
    roster.take_state({"a": entry("1", x=1)})
    (change,) = roster.take_diff({"joins": {"a": entry("2", phx_ref_prev="1", x=2)}})
    assert change.member.metas == ({"x": 2},), "one device that says something else"
    roster.take_state({})
    assert roster.take_diff({"joins": "odd", "leaves": None}) == []


@pytest.mark.spec("PRES-2")
def test_the_own_entry_is_repeated_and_held_back_within_the_limit() -> None:
    """Whatever happens, at most four calls in any 31 seconds; the newest word arrives."""
    machine = joined_room({"n": 0})
    sent = [0.0]
    now = 0.0

    def note(effects: list[Any]) -> None:
        sent.extend(now for effect in effects if isinstance(effect, do.SendTrack))

    for number in range(1, 50):
        now += 1.0
        note(machine.track({"n": number}, now))
        if number % 7 == 0:
            note(machine.lost(machine.generation, LossKind.NETWORK, LOST, now))
            now += 5.0
            note(machine.handle_timer(now))
            note(machine.joined(machine.generation, now))
        note(machine.handle_timer(now))
    for at in sent:
        assert sum(at <= other < at + 30 for other in sent) <= 4
    effects = machine.handle_timer(now + 40)
    assert [e.meta for e in effects if isinstance(e, do.SendTrack)] == [{"n": 49}]


@pytest.mark.spec("PRES-3")
def test_a_new_state_clears_the_ghosts() -> None:
    """Whoever is not in the state after a rejoin has left."""
    roster = PresenceRoster()
    roster.take_state({"a": entry("1"), "b": entry("2")})
    changes = roster.take_state({"b": entry("3"), "c": entry("4")})
    assert {(c.kind, c.member.key) for c in changes} == {("left", "a"), ("joined", "c")}


@pytest.mark.spec("CAST-4")
def test_a_typing_mark_ends_by_itself() -> None:
    """A newer mark keeps it; stop takes it back."""
    roster = TypingRoster(5.0)
    assert roster.mark("a", 0.0, is_typing=True)
    assert not roster.mark("a", 3.0, is_typing=True)
    assert roster.next_deadline() == 8.0
    assert not roster.expire(7.9)
    assert roster.expire(8.0)
    assert roster.keys == frozenset()
    assert roster.mark("b", 9.0, is_typing=True)
    assert roster.mark("b", 9.1, is_typing=False)
