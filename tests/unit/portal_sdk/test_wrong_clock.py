"""This machine's clock is wrong by minutes: what is shown and counted goes by the database's."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_sdk import TokenAuth
from portal_sdk._runtime import server_clock
from portal_sdk._runtime.server_clock import ServerClock
from portal_sdk.testing import FakeProject, manual_clock
from portal_sdk.testing.portal import FAKE_KEY, FAKE_URL, FakePortal
from tests.support.waiting import eventually

SKEWS = pytest.mark.parametrize("skew_s", [-300.0, 300.0])
real_time = time.time


@pytest.fixture
def wrong_clock(skew_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_clock.time, "time", lambda: real_time() + skew_s)


def text_of(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@given(
    st.floats(-400, 400),
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), min_size=1, max_size=8),
)
def test_the_difference_is_known_to_the_shortest_round_trip(
    offset_s: float, trips: list[tuple[float, float]]
) -> None:
    clock, at_s = ServerClock(), 1_700_000_000.0
    for there_s, back_s in trips:
        clock.note(text_of(at_s + there_s + offset_s), at_s, at_s + there_s + back_s)
        assert abs(clock.offset_s - offset_s) <= there_s + back_s + 1e-3
        at_s += 100.0
    shortest_s = min(there_s + back_s for there_s, back_s in trips)
    assert abs(clock.offset_s - offset_s) <= shortest_s + 1e-3
    assert abs(clock.offset_s) <= abs(offset_s) + 1e-3, "no more than was proved"


def test_what_proves_nothing_changes_nothing() -> None:
    clock = ServerClock()
    clock.note(text_of(1_700_000_300.0), 1_700_000_000.0, 1_700_000_000.5)
    known_s = clock.offset_s
    assert 299 < known_s <= 300
    clock.note(None, 0.0, 1.0)
    clock.note("soon", 0.0, 1.0)
    clock.note(text_of(1_700_000_000.0), 1_700_000_000.0, 1_699_999_000.0)
    assert clock.offset_s == known_s


@SKEWS
@pytest.mark.usefixtures("wrong_clock")
async def test_a_message_stands_behind_those_before_it_and_ages_are_true(skew_s: float) -> None:
    project = FakeProject()
    jo = project.add_customer()
    before = project.insert(jo, "messages", body="from the staff")
    async with project.portal(jo) as portal:
        await portal.ready()
        project.faults.write_refusal = (503, "", "later")
        sent = await portal.messages.send("from the customer")
        request = await portal.jobs.request("Boiler")
        shown, asked = (
            portal.messages[sent.row_id].created_at,
            portal.jobs[request.row_id].created_at,
        )
        earlier = portal.messages[before].created_at
        assert shown
        assert asked
        assert earlier
        assert abs(datetime.now(UTC) - shown) < timedelta(seconds=30)
        assert shown > earlier
        assert abs(datetime.now(UTC) - asked) < timedelta(seconds=30)
        project.faults.write_refusal = None
        changes = portal.changes()
        project.insert(jo, "messages", body="again")
        while (await anext(changes)).source != "live":
            pass
        await eventually(lambda: portal.metrics.change_latency.count > 0)
        assert portal.metrics.change_latency.max_ms < 30_000


@SKEWS
@pytest.mark.usefixtures("wrong_clock")
async def test_short_tokens_of_the_application_are_renewed_by_the_servers_clock(
    skew_s: float,
) -> None:
    """At 50 to 80 % of their two minutes; not each second, and not minutes too late."""
    project = FakeProject()
    jo = project.add_customer()
    asked_at: list[float] = []
    async with manual_clock() as clock:

        def token() -> str:
            asked_at.append(clock.time())
            now_s = real_time() + clock.time() - began_s
            claims: dict[str, Any] = {"sub": jo.user_id, "iat": now_s, "exp": now_s + 120}
            body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
            return f"e30.{body}.x"

        began_s = clock.time()
        portal = FakePortal(FAKE_URL, FAKE_KEY, auth=TokenAuth(token), store=None)
        portal.network = project
        async with portal:
            await portal.ready()
            await clock.advance(110)
    assert len(asked_at) in {2, 3}, "the first may be renewed before anything is known"
    if skew_s < 0:
        assert 59 <= asked_at[1] - asked_at[0] <= 97
