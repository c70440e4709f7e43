"""Live events over real sockets."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import aclosing, asynccontextmanager

import httpx
import pytest

from tests.integration.service.test_process import serving
from tests.support.crm import assert_problem
from tests.support.personas import AGENT, CUSTOMER_A

WAIT_S = 20


@pytest.fixture
async def service(stack):
    """The service as a process of its own, and its address."""
    async with serving(stack) as (process, url):
        yield process, url


@asynccontextmanager
async def following(url, token, **headers):
    """An open stream; yields a function that returns the next event of a kind."""
    auth = {"Authorization": f"Bearer {token}", **headers}
    async with (
        httpx.AsyncClient(base_url=url, headers=auth, trust_env=False, timeout=WAIT_S) as client,
        client.stream("GET", "/v1/events") as response,
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


async def test_customers_get_no_stream(service, sign_in):
    """Refused before it begins."""
    _, url = service
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        headers = {"Authorization": f"Bearer {sign_in(CUSTOMER_A)}"}
        response = await client.get("/v1/events", headers=headers)
    assert response.status_code == 403
