"""What makes the official client deaf does not make the portal deaf: one test per finding."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from portal_sdk import Portal, PortalConfig, ReadyTimeoutError
from portal_sdk._core import events as ev
from portal_sdk._core.connection import ConnectionMachine
from portal_sdk.errors import ConnectError
from tests.integration.portal_sdk.scripted_realtime import SCOPE, ScriptedProject, Socket
from tests.support.waiting import eventually, never


@pytest.fixture
async def project() -> AsyncIterator[ScriptedProject]:
    async with ScriptedProject() as made:
        yield made


def title(portal: Portal) -> str | None:
    return next((job.title for job in portal.jobs), None)


async def hears(project: ScriptedProject, portal: Portal, text: str = "heard") -> None:
    """The portal is live on a socket and a ring still reaches it."""
    await eventually(lambda: portal.status.state == "live" and portal.status.doorbell != "polling")
    await project.change(text)
    await eventually(lambda: title(portal) == text)


def once(project: ScriptedProject, first: Any) -> None:
    """Let ``first`` handle the first socket; later ones behave."""

    async def script(one: Socket) -> None:
        await (first if one.number == 0 else project.behave)(one)

    project.script = script


# R4: an outage of any length.


def test_an_outage_of_forty_seconds_ends_within_five_after_the_server_is_back() -> None:
    """The official client gives up after 15 s; here the longest wait is the cap (4 s)."""
    link = ConnectionMachine(PortalConfig(), lambda: 0.999)
    link.handle(ev.Authorized("u", SCOPE), 0.0)
    now = 0.0
    while now < 40.0:
        link.handle(ev.DoorbellLost(link.generation, ev.LossKind.NETWORK, ConnectError("x")), now)
        generation = link.generation
        while link.generation == generation:
            deadline = link.next_deadline()
            assert deadline is not None
            now = max(now, deadline)
            link.handle_timer(now)
    assert now <= 45.0


@pytest.mark.slow
async def test_a_real_outage_is_survived(project: ScriptedProject) -> None:
    """Sockets refused and HTTP dead for 3 s: offline or stale meanwhile, live again by itself."""
    async with project.portal() as portal:
        await portal.ready()
        project.refuse_socket = 503
        project.http = lambda _path: (503, "text/html", b"<html>down</html>")
        for one in list(project.open):
            await one.close(1012)
        await eventually(lambda: portal.status.state in {"stale", "offline"})
        await project.change("meanwhile")
        await never(lambda: portal.status.state == "live", 3)
        project.refuse_socket, project.http = None, lambda _path: None
        await eventually(lambda: portal.status.state == "live" and title(portal) == "meanwhile", 5)
        await hears(project, portal)


@pytest.mark.slow
async def test_accept_then_close_makes_at_most_five_connections_in_five_seconds(
    project: ScriptedProject,
) -> None:
    """R5: the official client made 5,136."""

    async def slam(one: Socket) -> None:
        await one.close(1001)

    project.script = slam
    async with project.portal() as portal:
        await eventually(lambda: len(project.sockets) >= 1)
        await never(lambda: len(project.sockets) > 5, 4.9)
        project.script = project.behave
        await hears(project, portal)


async def test_a_rate_limited_join_waits_and_comes_back(project: ScriptedProject) -> None:
    """R5: an error reply followed by a close is not answered with a storm."""

    async def limit(one: Socket) -> None:
        reason = {"reason": "ClientJoinRateLimitReached: Too many joins per second"}
        await one.reply(await one.read(), reason, "error")
        await one.close(1001)

    once(project, limit)
    async with project.portal() as portal:
        await eventually(lambda: len(project.sockets) == 1)
        await never(lambda: len(project.sockets) > 1, 0.2)
        await hears(project, portal)


async def test_a_frame_of_three_mib_is_read(project: ScriptedProject) -> None:
    """R6: it neither closes the socket nor starts a loop."""
    async with project.portal() as portal:
        await portal.ready()
        (one,) = project.open
        await one.send(
            "broadcast", {"type": "broadcast", "event": "other", "payload": "x" * 3 * 2**20}
        )
        await hears(project, portal)
        assert len(project.sockets) == 1


async def test_a_frame_above_the_limit_is_survived_without_a_loop(project: ScriptedProject) -> None:
    """R6: the socket is replaced, what was in the frame is read from the database."""
    async with project.portal(max_frame_bytes=64 * 1024) as portal:
        await portal.ready()
        (one,) = project.open
        statuses = portal.statuses()
        await project.change("in the frame", ring=False)
        await one.send_text('{"x": "' + "x" * 100_000 + '"}')
        await eventually(lambda: title(portal) == "in the frame")
        await hears(project, portal)
        assert len(project.sockets) == 2
        async with asyncio.timeout(10):  # whoever follows the status is told why
            async for status in statuses:
                if "PortalConfig.max_frame_bytes (65536)" in str(status.last_error):
                    break


async def test_unanswered_heartbeats_replace_the_socket(project: ScriptedProject) -> None:
    """R7: a server that keeps the socket open and says nothing is found."""

    async def silent(one: Socket) -> None:
        await project.answer(one, await one.read())
        while True:
            await one.read()

    once(project, silent)
    async with project.portal() as portal:
        await portal.ready()
        await eventually(lambda: len(project.sockets) == 2)
        await hears(project, portal)


async def test_a_raising_callback_does_not_stop_the_receiver(project: ScriptedProject) -> None:
    """R9: the next event is delivered, also to the callback that raised."""
    calls: list[str] = []

    def bad(change: Any) -> None:
        calls.append(change.record.title)
        raise RuntimeError("from the application")

    async with project.portal() as portal:
        portal.on_change(bad)
        await portal.ready()
        for text in "abc":
            await hears(project, portal, text)
        await eventually(lambda: calls == ["a", "b", "c"])
        assert len(project.sockets) == 1


async def test_a_blocking_callback_harms_only_itself(project: ScriptedProject) -> None:
    """R10: the loop runs, other callbacks are called, heartbeats are answered, close returns."""
    release, seen = threading.Event(), []
    blocked: list[str] = []

    def block(change: Any) -> None:
        blocked.append(change.record.title)
        release.wait(60)

    async with project.portal() as portal:
        portal.on_change(block)
        portal.on_change(lambda change: seen.append(change.record.title))
        await portal.ready()
        for text in "abc":
            await hears(project, portal, text)
        await eventually(lambda: seen == ["a", "b", "c"])
        assert blocked == ["a"]
        await never(lambda: portal.status.state != "live", 1.2)
        assert len(project.sockets) == 1
    release.set()


async def test_a_close_of_an_earlier_join_is_ignored(project: ScriptedProject) -> None:
    """R12: the frame names the join it ends."""
    async with project.portal() as portal:
        await portal.ready()
        (one,) = project.open
        await one.send("phx_close", {}, ref="0")
        await hears(project, portal)
        assert len(project.sockets) == 1


async def test_a_late_join_reply_is_not_deaf(project: ScriptedProject) -> None:
    """R13: after the join timeout there is another socket with one join; the late reply is lost."""

    async def late(one: Socket) -> None:
        join = await one.read()
        await eventually(lambda: len(project.sockets) >= 2)
        await one.reply(join, {"postgres_changes": []})
        await project.behave(one)

    once(project, late)
    async with project.portal() as portal:
        await eventually(lambda: len(project.sockets) >= 2)
        await hears(project, portal)
        assert all(len(one.joins) <= 1 for one in project.sockets)


async def test_a_system_error_ends_the_join_and_the_next_one_hears(
    project: ScriptedProject,
) -> None:
    """R14: the server's complaint leads to a new socket, never to a second join on the old one."""
    async with project.portal() as portal:
        await portal.ready()
        (one,) = project.open
        error = {"status": "error", "extension": "system", "channel": SCOPE, "message": "down"}
        await one.send("system", error)
        await eventually(lambda: len(project.sockets) == 2)
        await hears(project, portal)
        assert len(one.joins) == 1


async def test_a_remount_hears(project: ScriptedProject) -> None:
    """R15: pausing and resuming at once, or a new portal at once, is a new socket each time."""
    async with project.portal() as portal:
        await portal.ready()
        portal.pause()
        portal.resume()
        await eventually(lambda: len(project.sockets) == 2)
        await hears(project, portal, "resumed")
    async with project.portal() as portal:
        await hears(project, portal, "mounted again")


@pytest.mark.parametrize(
    "message",
    [
        "Token has expired 1 seconds ago",
        "ClientRateLimitReached: Too many messages per second",
        "You do not have permissions to read from this Channel topic",
        "",
    ],
    ids=["token", "rate", "permission", "no reason"],
)
async def test_a_channel_the_server_stops_comes_back(
    project: ScriptedProject, message: str
) -> None:
    """R17, A3: system error and close; the official client never joins again."""
    async with project.portal() as portal:
        await portal.ready()
        (one,) = project.open
        error = {"status": "error", "extension": "system", "channel": SCOPE, "message": message}
        if message:
            await one.send("system", error)
        await one.send("phx_close", {}, ref=one.joins[0]["ref"])
        await eventually(lambda: len(project.sockets) >= 2)
        await hears(project, portal)


async def test_a_system_ok_is_a_gap_until_read(project: ScriptedProject) -> None:
    """R20, R21: the stream may have started, or started anew, just now: look once more."""
    async with project.portal() as portal:
        await portal.ready()
        await project.change("before the stream", ring=False)
        (one,) = project.open
        await one.send("system", {"status": "ok", "extension": "system", "message": "up"})
        await eventually(lambda: title(portal) == "before the stream", 1)


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"topic": 1}', "\x00"])
async def test_undecodable_frames_are_survived_and_looked_after(
    project: ScriptedProject, text: str
) -> None:
    """R26: the receiver goes on, and what the frame may have said is read."""
    async with project.portal() as portal:
        await portal.ready()
        (one,) = project.open
        await one.send_text(text)
        await one.send("broadcast", [1])
        await hears(project, portal)
        assert len(project.sockets) == 1


async def test_row_data_of_odd_frames_is_never_logged(
    project: ScriptedProject, caplog: pytest.LogCaptureFixture
) -> None:
    """R26: the official client logs the whole payload at ERROR."""
    async with project.portal() as portal:
        await portal.ready()
        (one,) = project.open
        await one.send("broadcast", "private-row-data")
        await one.send("surprise", {"row": "private-row-data"})
        await hears(project, portal)
    assert "private-row-data" not in caplog.text


async def test_a_handshake_refused_with_401_is_retried_calmly(project: ScriptedProject) -> None:
    """R35: a typed error in the status, polling meanwhile, no give-up."""
    project.refuse_socket = 401
    async with project.portal() as portal:
        await eventually(lambda: portal.status.doorbell == "polling")
        await eventually(lambda: portal.status.state == "live")
        project.refuse_socket = None
        await hears(project, portal)


# R32, R33, R30: one client object per generation, a status of our own, nothing left behind.


async def test_every_reconnect_is_a_new_client_that_joins_once(project: ScriptedProject) -> None:
    """A closed client is never used again; the status stream tells of each loss."""
    states: list[str] = []
    async with project.portal() as portal:
        stream = portal.statuses()
        await portal.ready()
        for round_ in range(3):
            for one in list(project.open):
                await one.close(1000)
            await eventually(lambda wanted=round_ + 2: len(project.sockets) == wanted)
            await hears(project, portal, str(round_))
    async for status in stream:
        states.append(status.state)
    assert [len(one.joins) for one in project.sockets] == [1, 1, 1, 1]
    assert states[0] != "live"
    assert states.count("live") >= 4


# A2, A3, A4: the token.


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 429, 500, 502])
async def test_an_auth_outage_over_the_expiry_is_recovered_or_said(
    project: ScriptedProject, status: int
) -> None:
    """A2, A3: the official client stops renewing for ever. Here: live again, or needs_auth."""
    project.token_life_s = 2
    async with project.portal() as portal:
        await portal.ready()
        answer = (status, "application/json", b'{"code": "x", "message": "out of order"}')
        project.http = lambda path: answer if path.startswith("/auth/") else None
        before = len(project.requests)
        await eventually(lambda: "/auth/v1/token" in project.requests[before:])
        project.token_life_s = 3600
        if status == 400:
            await eventually(lambda: portal.status.state == "needs_auth")
            project.http = lambda _path: None
            portal.resume()
        else:
            (one,) = project.open
            error = {"status": "error", "extension": "system", "message": "Token has expired"}
            await one.send("system", error)
            await eventually(lambda: portal.status.state != "live")
            project.http = lambda _path: None
        await hears(project, portal)


async def test_a_rejected_token_is_renewed_by_one_request(project: ScriptedProject) -> None:
    """A4: snapshot, head, pull and socket complain at once; one refresh request is sent."""
    async with project.portal() as portal:
        await portal.ready()
        before = project.requests.count("/auth/v1/token")
        answer = (401, "application/json", b'{"code": "PGRST303", "message": "JWT expired"}')

        def expired_until_renewed(path: str) -> Any:
            renewed = project.requests.count("/auth/v1/token") > before
            return answer if path.startswith("/rest/") and not renewed else None

        project.http = expired_until_renewed
        for one in list(project.open):
            await one.ring("e", 99)
            await one.send("system", {"status": "error", "message": "Token has expired"})
        await eventually(lambda: project.requests.count("/auth/v1/token") > before)
        await hears(project, portal)
        assert project.requests.count("/auth/v1/token") == before + 1


@pytest.mark.parametrize("skew_s", [-300.0, 300.0])
async def test_a_wrong_clock_does_not_matter(project: ScriptedProject, skew_s: float) -> None:
    """A token issued by a server whose clock differs by five minutes is neither early nor late."""
    project.now_offset_s = skew_s
    async with project.portal() as portal:
        await hears(project, portal)
        await never(lambda: project.requests.count("/auth/v1/token") > 1, 0.5)


@pytest.mark.parametrize("where", ["/auth/", "/rest/v1/customers", "/rest/v1/rpc/"])
async def test_html_answers_are_said_and_survived(project: ScriptedProject, where: str) -> None:
    """A captive portal or a broken gateway answers HTML with 200."""
    page = (200, "text/html", b"<html>Please sign in to the hotel</html>")
    project.http = lambda path: page if path.startswith(where) else None
    async with project.portal() as portal:
        with pytest.raises(ReadyTimeoutError, match="text/html"):
            await portal.ready(timeout_s=0.7)
        project.http = lambda _path: None
        await hears(project, portal)
