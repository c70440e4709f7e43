"""Run `crm_service` inside a test, and a scripted Supabase for what the real one does not do."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI

from crm_service.app import create_app
from crm_service.settings import Settings

URL = "http://supabase.test"
STAFF_ID = "a0000000-0000-4000-8000-000000000003"
HS256_SECRET = "a-secret-of-this-test-only-with-enough-bytes"


def make_settings(**overrides: Any) -> Settings:
    """Settings for a scripted Supabase, untouched by `.env`."""
    values: dict[str, Any] = {
        "supabase_url": URL,
        "supabase_key": "sb_publishable_test",
        "jwt_secret": HS256_SECRET,
        **overrides,
    }
    return Settings(_env_file=None, **values)


class SigningKey:
    """One ES256 key of a project."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self._private = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwk(self) -> dict[str, Any]:
        public = jwt.algorithms.ECAlgorithm.to_jwk(self._private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "alg": "ES256", "use": "sig"}

    def sign(self, **claims: Any) -> str:
        """A session token; None removes a claim."""
        return jwt.encode(
            make_claims(**claims), self._private, algorithm="ES256", headers={"kid": self.kid}
        )


def make_claims(**overrides: Any) -> dict[str, Any]:
    """Claims of a staff session."""
    now = int(time.time())
    claims = {
        "sub": STAFF_ID,
        "aud": "authenticated",
        "role": "authenticated",
        "iss": f"{URL}/auth/v1",
        "iat": now,
        "exp": now + 3600,
        **overrides,
    }
    return {name: value for name, value in claims.items() if value is not None}


def sign_hs256(secret: str = HS256_SECRET, **claims: Any) -> str:
    """A session token of a project that signs with HS256."""
    return jwt.encode(make_claims(**claims), secret, algorithm="HS256")


AUTH = {"Authorization": f"Bearer {sign_hs256()}"}
Answer = httpx.Response | Exception | Callable[[httpx.Request], Awaitable[httpx.Response]]


class ScriptedSupabase(httpx.AsyncBaseTransport):
    """Answers PostgREST calls from a script; keys and the staff check are answered properly.

    Attributes:
        answers: Next answers, first to last; one that remains alone is repeated.
        calls: Requests received, without those for keys and the staff check.
        staff: Whether the caller is an active member of staff.
        keys: Published signing keys; None makes Auth fail.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.calls: list[httpx.Request] = []
        self.staff = True
        self.staff_checks = 0
        self.key_requests = 0
        self.key = SigningKey("first")
        self.keys: list[SigningKey] | None = [self.key]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/jwks.json"):
            self.key_requests += 1
            if self.keys is None:
                return httpx.Response(500, text="broken")
            return httpx.Response(200, json={"keys": [key.jwk for key in self.keys]})
        if request.url.path == "/rest/v1/rpc/staff_me":
            self.staff_checks += 1
            standing = "active" if self.staff else "inactive"
            return httpx.Response(200, json={"user_id": STAFF_ID, "standing": standing})
        self.calls.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=answer.content
            )
        return await answer(request)


def rows(*found: dict[str, Any], status: int = 200) -> httpx.Response:
    """PostgREST's answer with these rows."""
    return httpx.Response(status, json=list(found))


def refusal(code: str, status: int = 400, **members: Any) -> httpx.Response:
    """PostgREST's error body."""
    body = {"code": code, "message": "said no", "details": None, "hint": None, **members}
    return httpx.Response(status, content=json.dumps(body))


@asynccontextmanager
async def running_app(
    settings: Settings, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """A new application with its lifespan running, and a client that calls it in process."""
    async with serving(create_app(settings, transport=transport)) as running:
        yield running


class _Line(httpx.AsyncBaseTransport):
    """Leads to whichever Supabase the running test scripts."""

    def __init__(self) -> None:
        self.supabase: httpx.AsyncBaseTransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert self.supabase is not None, "no test runs"
        return await self.supabase.handle_async_request(request)


@functools.cache
def _shared_app() -> tuple[FastAPI, _Line]:
    line = _Line()
    return create_app(make_settings(rate_limit="100000/minute"), transport=line), line


@asynccontextmanager
async def scripted_app(
    supabase: httpx.AsyncBaseTransport,
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """The application that tests share, in front of a Supabase of this test's own.

    Building one takes longer than most tests. What it counts goes on from test to test.
    """
    app, line = _shared_app()
    line.supabase = supabase
    try:
        async with serving(app) as running:
            yield running
    finally:
        line.supabase = None


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """An application that exists already, with its lifespan running."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://crm.test") as client,
    ):
        yield app, client


CUSTOMER_ROW: dict[str, Any] = {
    "id": "c0000000-0000-4000-8000-000000000001",
    "name": "Ada",
    "email": "ada@example.com",
    "phone": None,
    "address": None,
    "branch": None,
    "preferences": {},
    "portal_user_id": None,
    "deleted_at": None,
    "created_at": "2026-11-01T08:00:00.123456+00:00",
    "updated_at": "2026-11-01T08:00:00.123456+00:00",
    "version": 3,
}


async def ask(
    supabase: ScriptedSupabase,
    method: str,
    path: str,
    *,
    settings: Settings | None = None,
    headers: dict[str, str] | None = None,
    **content: Any,
) -> httpx.Response:
    """Send one request as a member of staff."""
    sent = {**AUTH, **(headers or {})}
    running = running_app(settings, supabase) if settings else scripted_app(supabase)
    async with running as (_, client):
        return await client.request(method, path, headers=sent, **content)


async def stored(rest: httpx.AsyncClient, table: str, row_id: UUID) -> dict[str, Any]:
    """The row as the database has it."""
    response = await rest.get(f"/{table}", params={"id": f"eq.{row_id}"})
    response.raise_for_status()
    (row,) = response.json()
    return row


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is the documented problem; return the document."""
    document = response.json()
    assert response.status_code == status, document
    assert response.headers["content-type"] == "application/problem+json"
    assert document["type"] == f"urn:portal-sync:problem:{code}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == response.headers["x-request-id"]
    return document
