"""A REST server on a database of its own, reached over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import uvicorn
from postgrest import AsyncPostgrestClient

from local_stack.auth.tokens import TokenIssuer, TokenVerifier
from local_stack.keys import ProjectKeys
from local_stack.rest import RestConfig, RestServer
from tests.support.cluster import BARE, Database, TestCluster
from tests.support.loop_thread import LoopThread
from tests.support.waiting import eventually

SCHEMA = Path(__file__).with_name("schema.sql").read_text()


class RunningRest:
    """A REST server with its own thread, loop and port."""

    def __init__(self, database: Database, config: RestConfig | None = None) -> None:
        self.database = database
        self.keys = ProjectKeys.generate()
        self._issuer = TokenIssuer(self.keys)
        self._thread = LoopThread("rest server")
        self.server = RestServer(
            config or RestConfig(), TokenVerifier(self.keys), database.url_as("authenticator")
        )
        self._web = uvicorn.Server(
            uvicorn.Config(self.server.app, port=0, log_level="warning", lifespan="off")
        )
        self.url = self._thread.call(self._start())

    async def _start(self) -> str:
        await self.server.start()
        self._serving = asyncio.create_task(self._web.serve(), name="uvicorn")
        await eventually(lambda: self._web.started)
        return f"http://127.0.0.1:{self._web.servers[0].sockets[0].getsockname()[1]}"

    def close(self) -> None:
        self._thread.call(self._stop())
        self._thread.close()

    async def _stop(self) -> None:
        self._web.should_exit = True
        await self._serving
        await self.server.stop()

    def token(self, role: str = "authenticated", lifetime_s: float = 600, **claims: Any) -> str:
        return self._issuer.issue({"role": role, "sub": "jo", **claims}, lifetime_s)

    def client(self, role: str | None = "authenticated", **claims: Any) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.token(role, **claims)}"} if role else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers)

    async def sql(self, text: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.database.admin_url)
        try:
            if text.lstrip().startswith("select"):
                return await connection.fetch(text)
            await connection.execute(text)
            return []
        finally:
            await connection.close()


@dataclass(frozen=True)
class Made:
    """Creates databases with the test schema; they are dropped at the end of the module."""

    cluster: TestCluster

    def database(self, hint: str) -> Database:
        database = self.cluster.clone(BARE, hint)
        asyncio.run(self._fill(database))
        return database

    async def _fill(self, database: Database) -> None:
        connection = await asyncpg.connect(database.url)
        try:
            await connection.execute(SCHEMA)
        finally:
            await connection.close()


@pytest.fixture(scope="module")
def rest(cluster: TestCluster, request: pytest.FixtureRequest) -> Iterator[RunningRest]:
    """A running server; the tests of one module share its data and must put it back."""
    database = Made(cluster).database(request.module.__name__.rpartition(".")[2])
    running = RunningRest(database)
    yield running
    running.close()
    cluster.drop(database)


@pytest.fixture
async def http(rest: RunningRest) -> AsyncIterator[httpx.AsyncClient]:
    """A signed-in client."""
    async with rest.client() as client:
        yield client


@pytest.fixture
async def anonymous(rest: RunningRest) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with rest.client(None) as client:
        yield client


@pytest.fixture
async def postgrest(rest: RunningRest) -> AsyncIterator[AsyncPostgrestClient]:
    """The unmodified Python client, signed in."""
    headers = {"Authorization": f"Bearer {rest.token()}"}
    async with AsyncPostgrestClient(rest.url, headers=headers) as client:
        yield client
