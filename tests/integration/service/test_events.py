"""Live events over real sockets."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from unittest.mock import ANY
from uuid import UUID

import asyncpg
import httpx
import jwt
import pytest
from pydantic import SecretStr

from crm_service.auth import Subject
from crm_service.client import CrmClient
from crm_service.events import doorbell
from crm_service.events.rooms import Typing
from portal_sdk import PasswordAuth, Portal
from tests.integration.service.test_process import serving
from tests.support.crm import assert_problem, make_claims
from tests.support.personas import AGENT, CUSTOMER_A, MANAGER, PASSWORD
from tests.support.waiting import eventually

WAIT_S = 20


@pytest.fixture
async def service(stack):
    """The service as a process of its own, and its address."""
    async with serving(stack) as (process, url):
        yield process, url


@asynccontextmanager
async def following(url, token, query=None, **headers):
    """An open stream; yields a function that returns the next event of a kind."""
    auth = {"Authorization": f"Bearer {token}", **headers}
    async with (
        httpx.AsyncClient(base_url=url, headers=auth, trust_env=False, timeout=WAIT_S) as client,
        client.stream("GET", "/v1/events", params=query) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()

        async def following_event(kind):
            event = {}
            async with asyncio.timeout(WAIT_S):
                async for line in lines:
                    name, _, value = line.partition(": ")
                    if name in {"id", "event", "data"}:
                        event[name] = value
                    elif not line and event.get("event") == kind:
                        return event.get("id"), json.loads(event["data"])
                    elif not line:
                        event = {}
            raise AssertionError("the stream has ended")

        async with aclosing(lines):
            yield following_event


async def post(url, token, name):
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        headers = {"Authorization": f"Bearer {token}"}
        response = await client.post("/v1/customers", json={"name": name}, headers=headers)
        assert response.status_code == 201
        return response.json()["id"]


async def test_a_change_arrives_and_a_stream_is_resumed(service, sign_in):
    """Rung by Realtime; after a pause everything since the last event comes, once."""
    _, url = service
    token = sign_in(AGENT)
    async with following(url, token) as next_event:
        while not (await next_event("status"))[1]["live"]:
            pass
        made = await post(url, token, "One")
        last_id, entry = await next_event("activity")
        assert (entry["row_id"], entry["op"], entry["actor"]) == (made, "insert", AGENT.uid)
    missed = [await post(url, token, name) for name in ("Two", "Three")]
    async with following(url, token, **{"Last-Event-ID": last_id}) as next_event:
        got = [(await next_event("activity"))[1]["row_id"] for _ in missed]
    assert got == missed
    epoch, snapshot = last_id.split("~")
    stale = epoch[::-1].replace("-", "0")[:36].ljust(36, "0") + "~" + snapshot
    async with following(url, token, **{"Last-Event-ID": stale}) as next_event:
        _, told = await next_event("reset")
    assert told == {"reason": "epoch"}
    for never_given in ("17", f"{epoch}~9:1:"):
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {token}", "Last-Event-ID": never_given}
            response = await client.get("/v1/events", headers=headers)
        assert_problem(response, 422, "invalid-request")


async def test_colleagues_are_seen_online_and_a_customers_room_is_heard(service, stack, sign_in):
    """Presence of streams, and typing both ways, each under the own token."""
    _, url = service
    agent, manager = sign_in(AGENT), sign_in(MANAGER)
    auth = {"Authorization": f"Bearer {manager}"}
    room = {"customer_id": CUSTOMER_A.customer}
    login = PasswordAuth(CUSTOMER_A.email, PASSWORD)
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, headers=auth) as http,
        Portal(stack.api_url, stack.keys.publishable, auth=login) as portal,
        AsyncExitStack() as rooms,
    ):
        await portal.ready(timeout_s=WAIT_S)
        await rooms.enter_async_context(portal.presence("lobby", {"name": "A"}))
        chat = await rooms.enter_async_context(portal.broadcast("chat"))
        crm = CrmClient(url, manager, http=http)
        assert AGENT.uid not in {member.key for member in await crm.list_online()}
        async with following(url, agent, query=room) as next_event:
            while not (await next_event("status"))[1]["live"]:
                pass
            own = {"key": AGENT.uid, "devices": 1, "says": {"name": ANY, "role": "agent"}}
            assert own in (await next_event("online"))[1]["members"]
            async with following(url, manager):
                while MANAGER.uid not in str((await next_event("online"))[1]):
                    pass
                assert {AGENT.uid, MANAGER.uid} <= {m.key for m in await crm.list_online()}
            while MANAGER.uid in str((await next_event("online"))[1]):
                pass
            async with following(url, manager, query={"visible": "false"}) as of_manager:
                while AGENT.uid not in str((await of_manager("online"))[1]):
                    pass
                assert MANAGER.uid not in {m.key for m in await crm.list_online()}
            (visitor,) = await crm.list_room(UUID(CUSTOMER_A.customer))
            assert visitor.says == {"name": "A"}

            await chat.typing().touch()
            mark = {"key": CUSTOMER_A.uid, "is_typing": True}
            assert (await next_event("heard"))[1] == {"event": "typing", "payload": mark}
            typing = chat.typing().changes()
            await crm.say_typing(UUID(CUSTOMER_A.customer), Typing(is_typing=True))
            async with asyncio.timeout(WAIT_S):
                assert await anext(typing) == {MANAGER.uid}


@pytest.fixture
def faults(stack):
    """Switches that make the stack's Realtime misbehave; all off at the end."""
    yield stack.faults
    stack.faults.reset()


def take_realtime_away(faults):
    """Refuse whoever comes, on sockets and over HTTP, and hang up on whoever is there."""
    faults.http_paths = ("/realtime/",)
    faults.http_refuse = 503
    faults.refuse_connects = 503
    faults.drop_sockets()


@pytest.mark.parametrize("how", ["refuses", "hangs", "closed to us"])
async def test_without_realtime_rooms_are_not_available_and_all_else_is(
    http, sign_in, faults, monkeypatch, how
):
    """503 in time, with Retry-After; nothing has to be restarted when Realtime is back."""
    monkeypatch.setattr(doorbell, "_OPEN_TIMEOUT_S", 0.5)
    headers = {"Authorization": f"Bearer {sign_in(AGENT)}"}
    room = f"/v1/customers/{CUSTOMER_A.customer}"
    if how == "refuses":
        take_realtime_away(faults)
    elif how == "hangs":
        faults.hang = True
    else:
        faults.refuse_joins = "Unauthorized"
    asked = [await http.get("/v1/online", headers=headers)]
    asked.append(await http.get(f"{room}/online", headers=headers))
    if how == "refuses":
        asked.append(await http.post(f"{room}/typing", json={"is_typing": True}, headers=headers))
    for answer in asked:
        assert_problem(answer, 503, "realtime-unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    assert (await http.get(room, headers=headers)).status_code == 200
    faults.reset()
    assert (await http.get("/v1/online", headers=headers)).status_code == 200
    said = await http.post(f"{room}/typing", json={"is_typing": False}, headers=headers)
    assert said.status_code == 204


async def test_streams_go_on_without_realtime_and_miss_nothing(stack, sign_in, faults):
    """Before, during and after an outage of the doorbell, in one stream and in resumed ones."""
    token = sign_in(AGENT)
    made = []

    async with serving(stack, CRM_EVENT_POLL_S="1") as (_, url):

        async def make(name):
            made.append(await post(url, token, name))

        async def told(next_event, count):
            return [await next_event("activity") for _ in range(count)]

        async def is_live(next_event, wanted):
            while (await next_event("status"))[1]["live"] is not wanted:
                pass

        async with following(url, token) as next_event:
            await is_live(next_event, True)
            await make("Before")
            seen = await told(next_event, 1)
            take_realtime_away(faults)
            await is_live(next_event, False)
            await make("During")
            seen += await told(next_event, 1)
        await make("Nobody looks")
        async with following(url, token, **{"Last-Event-ID": seen[-1][0]}) as next_event:
            seen += await told(next_event, 1)
            await make("Looked at")
            seen += await told(next_event, 1)
            faults.reset()
            await is_live(next_event, True)
            await make("After")
            seen += await told(next_event, 1)
    assert [entry["row_id"] for _, entry in seen] == made


async def test_a_socket_that_falls_silent_is_replaced(stack, sign_in, faults, monkeypatch):
    """Open is not alive: a heartbeat without an answer ends it."""
    monkeypatch.setattr(doorbell, "_HEARTBEAT_S", 0.3)
    monkeypatch.setattr(doorbell, "_BACKOFF_S", (0.05,))
    address = f"ws{stack.api_url.removeprefix('http')}/realtime/v1/websocket"
    subject = Subject(UUID(AGENT.uid), SecretStr(sign_in(AGENT)))
    bell = doorbell.Doorbell(address, stack.keys.publishable, subject)
    running = asyncio.create_task(bell.run())
    try:
        await eventually(lambda: bell.live)
        faults.hang = True
        await eventually(lambda: not bell.live)
        faults.reset()
        await eventually(lambda: bell.live)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_streams_end_when_the_service_stops(service, sign_in):
    """Ctrl-C does not wait for them."""
    process, url = service
    async with following(url, sign_in(AGENT)) as next_event:
        await next_event("status")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(5):
            await process.wait()
        with pytest.raises(AssertionError, match="ended"):
            await next_event("nothing")


async def test_only_active_staff_follow(service, stack, sign_in):
    """Customers are refused before it begins; who is removed is told, and the stream ends."""
    _, url = service
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        headers = {"Authorization": f"Bearer {sign_in(CUSTOMER_A)}"}
        assert_problem(await client.get("/v1/events", headers=headers), 403, "staff-only")
    connection = await asyncpg.connect(stack.database_url)
    switch = "update public.staff set active = $1 where user_id = $2"
    try:
        async with following(url, sign_in(MANAGER)) as next_event:
            await next_event("status")
            await connection.execute(switch, False, MANAGER.uid)
            assert (await next_event("problem"))[1]["code"] == "staff-inactive"
            with pytest.raises(AssertionError, match="ended"):
                await next_event("nothing")
    finally:
        await connection.execute(switch, True, MANAGER.uid)
        await connection.close()


async def test_a_stream_ends_with_its_session_although_nothing_happens(stack, service, faults):
    """Not at the next look; Realtime, which would hang up by itself, is silent."""
    _, url = service
    faults.hang = True
    ends_at = int(time.time()) + 3
    claims = make_claims(sub=AGENT.uid, iss=f"{stack.api_url}/auth/v1", exp=ends_at)
    token = jwt.encode(claims, stack.keys.jwt_secret, algorithm="HS256")
    async with following(url, token) as next_event:
        _, problem = await next_event("problem")
    assert problem["code"] == "token-expired"
    assert 0 <= time.time() - ends_at < 3
