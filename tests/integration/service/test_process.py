"""`python -m crm_service` as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest


@asynccontextmanager
async def serving(stack, **more: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A running service and its address."""
    environment = {**os.environ, **stack.env(), "CRM_PORT": "0", **more}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "crm_service", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        line = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        assert "listens on http://127.0.0.1:" in line, line
        yield process, line.split()[3]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_as_soon_as_it_names_its_address_and_stops_when_told(stack, how):
    """Ready at once with nothing but the variables of the stack; both signals are a clean end."""
    async with serving(stack) as (process, url):
        async with httpx.AsyncClient(trust_env=False) as client:
            response = await client.get(f"{url}/ready", timeout=30)
        assert response.json() == {"status": "ready"}
        process.send_signal(how)
        _, log = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
        assert b"Traceback" not in log


async def test_a_taken_port_is_told_in_one_line(stack):
    """Exit code 3 and what to do; the first service goes on."""
    async with serving(stack) as (first, url):
        environment = {**os.environ, **stack.env(), "CRM_PORT": url.rsplit(":", 1)[1]}
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "crm_service", env=environment, stderr=asyncio.subprocess.PIPE
        )
        _, log = await asyncio.wait_for(second.communicate(), 30)
        assert second.returncode == 3
        assert "CRM_PORT" in log.decode()
        assert log.count(b"\n") == 1
        assert first.returncode is None
