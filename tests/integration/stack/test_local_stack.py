"""The stack as a whole, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
from pathlib import Path

import asyncpg
import httpx
import pytest

from local_stack.config import StackConfig
from local_stack.errors import FolderInUseError, PortTakenError
from local_stack.folder import read_state
from local_stack.ports import next_free_port
from local_stack.stack import LocalStack
from tests.support.stack_thread import StackThread


async def test_a_fresh_stack_serves_seeded_data(stack: StackThread) -> None:
    """Everything is up when the start returns: health, sign-in, rows."""
    headers = {"apikey": stack.keys.publishable}
    async with httpx.AsyncClient(base_url=stack.api_url, headers=headers) as http:
        assert (await http.get("/live")).status_code == 200
        assert (await http.get("/ready")).status_code == 200
        login = {"email": "customer001@example.com", "password": "portal-demo"}
        answer = await http.post("/auth/v1/token?grant_type=password", json=login)
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        answer = await http.get(
            "/rest/v1/customers?select=email", headers={"authorization": f"Bearer {token}"}
        )
        assert answer.json() == [{"email": "customer001@example.com"}]


def test_the_environment_names_what_programs_need(stack: StackThread) -> None:
    """The variables are the documented ones and none is empty."""
    variables = stack.env()
    assert list(variables) == [
        "SUPABASE_URL",
        "SUPABASE_PUBLISHABLE_KEY",
        "SUPABASE_SECRET_KEY",
        "SUPABASE_ANON_KEY",
        "SUPABASE_SERVICE_ROLE_KEY",
        "SUPABASE_JWT_SECRET",
        "SUPABASE_DB_URL",
    ]
    assert all(variables.values())


async def test_the_folder_is_the_memory_and_one_stack_owns_it(seeded_dir: Path) -> None:
    """Rows and keys are there after a second start; another stack on the folder is refused.

    The refusal names the process and the ports of the first one, which goes on. Secrets are
    readable by the owner alone.
    """
    config = StackConfig(data_dir=seeded_dir)
    async with LocalStack(config) as first:
        keys = first.keys.publishable
        await run(first.database_url, "create table public.kept as select 7 as n")
        with pytest.raises(FolderInUseError) as refusal:
            await LocalStack(config).__aenter__()
        assert refusal.value.api_port == first.api_port
        assert refusal.value.database_port == first.database_port
        assert f"port {first.api_port}" in str(refusal.value)
        assert await run(first.database_url, "select 1") == 1
    for name in ("keys.json", "passwords.json"):
        assert stat.S_IMODE((seeded_dir / name).stat().st_mode) == 0o600
    assert read_state(seeded_dir) is None
    async with LocalStack(config) as second:
        assert second.keys.publishable == keys
        assert await run(second.database_url, "select n from public.kept") == 7


async def test_a_taken_port_is_refused_or_stepped_over(seeded_dir: Path) -> None:
    """A port that was named must be free; a usual one gives way and the user is told."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError):
            await LocalStack(StackConfig(data_dir=seeded_dir, api_port=port)).__aenter__()
        config = StackConfig(
            data_dir=seeded_dir,
            api_port=port,
            api_port_strict=False,
            # The very port that the API moves to, as with the usual ports 54321 and 54322.
            database_port=next_free_port(port),
            database_port_strict=False,
        )
        async with LocalStack(config) as stack:
            assert len({port, stack.api_port, stack.database_port}) == 3
            assert [notice for notice in stack.notices if f"Port {port} is in use" in notice]
            assert await run(stack.database_url, "select 1") == 1


async def test_many_stacks_run_at_once_and_leave_nothing() -> None:
    """Two started together have ports, keys and folders of their own, which are gone afterwards."""
    async with contextlib.AsyncExitStack() as both:
        first, second = LocalStack(), LocalStack(StackConfig(postgres_major=16))
        await asyncio.gather(both.enter_async_context(first), both.enter_async_context(second))
        ports = {first.api_port, first.database_port, second.api_port, second.database_port}
        assert len(ports) == 4
        assert first.keys.publishable != second.keys.publishable
        assert str(await run(first.database_url, "show server_version")).startswith("18.")
        assert str(await run(second.database_url, "show server_version")).startswith("16.")
        folders = [first.folder, second.folder]
        assert all(folder.is_dir() for folder in folders)
    assert not any(folder.exists() for folder in folders)


async def run(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()
