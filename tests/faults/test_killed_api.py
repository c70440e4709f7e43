"""F5: the API is killed before a commit, or after it and before the reply: one effect."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from crm_service.settings import Settings
from local_stack.ports import free_port
from portal_sdk import PasswordAuth, Portal
from tests.faults.programs import open_folder, running_module
from tests.faults.world import CONFIG
from tests.support.crm import running_app
from tests.support.personas import AGENT, PASSWORD
from tests.support.waiting import eventually

PROGRAM = "tests.faults.killable_stack"
CUSTOMER = "c0000000-0000-4000-8000-000000000001"
LOGIN = PasswordAuth("customer001@example.com", "portal-demo")


@contextlib.asynccontextmanager
async def running(folder: Path, port: int, moment: str) -> AsyncIterator[tuple[Any, list[str]]]:
    """Run the stack as a program; give its process, and its URL, database URL and key."""
    async with running_module(PROGRAM, str(folder), str(port), moment) as (process, line):
        yield process, line.split()


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.mark.soak
@pytest.mark.parametrize("moment", ["before commit", "after commit"])
async def test_a_write_whose_server_is_killed_is_in_effect_once(folder: Path, moment: str) -> None:
    """The portal sends the same key again to the next server, and shows the row once."""
    port = free_port()
    async with running(folder / "stack", port, moment) as (process, (url, _database, key)):
        portal = Portal(url, key, auth=LOGIN, store=folder / "portal.db", config=CONFIG)
        async with portal:
            await portal.ready(timeout_s=30)
            sent = await portal.messages.send("once")
            async with asyncio.timeout(30):
                assert await process.wait() == -signal.SIGKILL
            await eventually(lambda: portal.status.state != "live", 30)
            assert portal.status.pending_writes == 1
            async with running(folder / "stack", port, "") as (_process, (_url, database, _key)):
                await sent.synced(timeout_s=60)
                await eventually(lambda: portal.status.state == "live", 30)
                assert [message.body for message in portal.messages].count("once") == 1
                assert portal.status.pending_writes == 0
                assert (
                    await _count(database, "select count(*) from messages where body = 'once'") == 1
                )
                effects = "select count(*) from activity_log where new ->> 'body' = 'once'"
                assert await _count(database, effects) == 1


@pytest.mark.soak
@pytest.mark.parametrize("moment", ["before commit", "after commit"])
async def test_staff_repeat_a_request_whose_server_was_killed(folder: Path, moment: str) -> None:
    """The service says that it is not known; the same key again gives one effect and its answer."""
    port = free_port()
    body = {"customer_id": CUSTOMER, "body": "once"}
    async with running(folder / "stack", port, moment) as (_process, (url, _database, key)):
        token = await _signed_in(url, key)
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "one-message"}
        async with running_app(_settings(url, key)) as (_app, http):
            refused = await http.post("/v1/messages", json=body, headers=headers)
            assert refused.status_code in {502, 503, 504}, refused.text
    async with (
        running(folder / "stack", port, "") as (_process, (url, database, key)),
        running_app(_settings(url, key)) as (_app, http),
    ):
        answers = [await http.post("/v1/messages", json=body, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json() == answers[1].json()
        assert await _count(database, "select count(*) from messages where body = 'once'") == 1


def _settings(url: str, key: str) -> Settings:
    return Settings(_env_file=None, supabase_url=url, supabase_key=key, environment="development")


async def _signed_in(url: str, key: str) -> str:
    async with httpx.AsyncClient(base_url=url, headers={"apikey": key}) as http:
        answer = await http.post(
            "/auth/v1/token", params={"grant_type": "password"},
            json={"email": AGENT.email, "password": PASSWORD},
        )  # fmt: skip
    return str(answer.raise_for_status().json()["access_token"])


async def _count(database_url: str, sql: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        return int(await connection.fetchval(sql))
    finally:
        await connection.close()
