"""A request that the server cancels because it waits no longer."""

import asyncio
import json
from typing import Any

import httpx

from tests.support.crm import ScriptedSupabase, make_settings, running_app, sign_hs256


async def test_who_is_cut_off_by_the_end_is_told_so():
    """It gets a problem to act on, with the headers of every answer, and the task ends in peace."""

    arrived = asyncio.Event()

    async def say_nothing(_: httpx.Request) -> httpx.Response:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    supabase = ScriptedSupabase(say_nothing)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"name": "Ada"}', "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (b"authorization", f"Bearer {sign_hs256()}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", b"15"),
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/customers",
        "raw_path": b"/v1/customers",
    }
    scope |= {"query_string": b"", "headers": headers, "http_version": "1.1", "root_path": ""}
    scope |= {"scheme": "http", "server": ("crm.test", 80), "client": None}
    async with running_app(make_settings(), supabase) as (app, _):
        request = asyncio.ensure_future(app(scope, receive, send))
        async with asyncio.timeout(5):
            await arrived.wait()
        request.cancel()
        await request

    start, body = sent
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    problem = json.loads(body["body"])
    assert (start["status"], problem["type"].rpartition(":")[2]) == (503, "stopping")
    assert problem["request_id"] == told["x-request-id"]
    assert told["retry-after"] == "2"
    assert told["x-content-type-options"] == "nosniff"
