"""The auth server behind the gateway on a real port, with a clock that the test can move."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from local_stack.auth.config import AuthConfig
from local_stack.auth.server import AuthServer
from local_stack.auth.tokens import TokenIssuer, TokenVerifier
from local_stack.gateway import create_gateway
from local_stack.keys import ProjectKeys
from tests.support.cluster import Database

PASSWORD = "correct horse battery"


class Clock:
    """The machine's clock plus what the test adds, or one instant for ever."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.frozen_at_s: float | None = None

    def __call__(self) -> float:
        return time.time() + self.ahead_s if self.frozen_at_s is None else self.frozen_at_s


class Echo:
    """Stands where REST and Realtime are mounted and shows what reaches them."""

    def __init__(self) -> None:
        self.app = Starlette(routes=[Route("/{rest:path}", self._answer)])

    async def _answer(self, request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "path": request.path_params["rest"],
                "query": request.url.query,
                "headers": dict(request.headers),
            }
        )


@dataclass
class AuthApi:
    """A running auth server.

    Attributes:
        url: What a client is given as project URL.
    """

    url: str
    keys: ProjectKeys
    verifier: TokenVerifier
    issuer: TokenIssuer
    clock: Clock
    database: Database
    http: httpx.AsyncClient = field(repr=False)
    server: AuthServer = field(repr=False)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        bearer: str | None = None,
        key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request to a path of the auth server as curl would."""
        given = {"apikey": key or self.keys.publishable, **(headers or {})}
        if bearer is not None:
            given["authorization"] = f"Bearer {bearer}"
        return await self.http.request(
            method, f"{self.url}/auth/v1{path}", json=body, headers=given
        )

    async def admin(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send a request with the secret key."""
        return await self.call(method, path, body, key=self.keys.secret)

    async def add_user(self, email: str, **more: Any) -> dict[str, Any]:
        """Create a confirmed user with PASSWORD as an administrator would."""
        body = {"email": email, "password": PASSWORD, "email_confirm": True, **more}
        answer = await self.admin("POST", "/admin/users", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def sign_in(self, email: str, password: str = PASSWORD) -> dict[str, Any]:
        """Return the token response of a password sign-in."""
        body = {"email": email, "password": password}
        answer = await self.call("POST", "/token?grant_type=password", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refresh(self, token: str) -> httpx.Response:
        """Send a refresh token."""
        return await self.call("POST", "/token?grant_type=refresh_token", {"refresh_token": token})

    async def rows(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Return what superuser sees in the database."""
        connection = await asyncpg.connect(self.database.admin_url)
        try:
            return await connection.fetch(sql, *values)
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def running_auth_api(database: Database, **settings: Any) -> AsyncIterator[AuthApi]:
    """Serve one auth API until the block ends."""
    keys, clock = ProjectKeys.generate(), Clock()
    verifier, issuer = TokenVerifier(keys), TokenIssuer(keys)
    config = AuthConfig(bcrypt_rounds=4, **settings)
    server = AuthServer(
        config, keys, verifier, issuer, database.url_as("supabase_auth_admin"), clock=clock
    )
    echo = Echo()
    listener = uvicorn.Server(
        uvicorn.Config(create_gateway(echo, server, echo), port=0, lifespan="off", log_config=None)
    )
    await server.start()
    serving = asyncio.create_task(listener.serve(), name="auth-api")
    try:
        while not listener.started:
            assert not serving.done(), "the listener ended while starting"
            await asyncio.sleep(0.005)
        port = listener.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(timeout=20) as http:
            url = f"http://127.0.0.1:{port}"
            yield AuthApi(url, keys, verifier, issuer, clock, database, http, server)
    finally:
        listener.should_exit = True
        await serving
        await server.stop()
