"""Fixtures of the interop tests: the tables of the sessions, on the shared stack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.support.stack_thread import StackThread
from tests.support.waiting import eventually

FOLDER = Path(__file__).parent


async def _run_sql(stack: StackThread, name: str) -> None:
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute((FOLDER / name).read_text(encoding="utf-8"))
    finally:
        await connection.close()


async def _rest_status(http: httpx.AsyncClient, stack: StackThread) -> int:
    headers = {"apikey": stack.keys.secret}
    answer = await http.get(f"{stack.api_url}/rest/v1/interop_notes?limit=0", headers=headers)
    return answer.status_code


@pytest.fixture
async def project(stack: StackThread) -> AsyncIterator[StackThread]:
    """The shared stack with the sessions' tables, as long as the test runs."""
    async with httpx.AsyncClient() as http:

        async def known() -> bool:
            return await _rest_status(http, stack) == 200

        async def forgotten() -> bool:
            return await _rest_status(http, stack) == 404

        await _run_sql(stack, "schema_undo.sql")
        await _run_sql(stack, "schema.sql")
        await eventually(known, message="REST knows the new tables")
        try:
            yield stack
        finally:
            await _run_sql(stack, "schema_undo.sql")
            await eventually(forgotten, message="REST has forgotten the tables")
