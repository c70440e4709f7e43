"""The service in process, against the running local stack, as the seeded people."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator, Callable

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from crm_service.app import create_app
from crm_service.client import CrmClient
from crm_service.customers.schemas import CustomerCreate, CustomerRead
from crm_service.settings import Settings
from tests.support.crm import serving
from tests.support.operations import Operation, read_operations
from tests.support.personas import (
    ADMIN,
    AGENT,
    MANAGER,
    PASSWORD,
    Persona,
)
from tests.support.refusals import Refusals, fingerprint, listen

CRM_URL = "http://crm.test"
FIELD_KEY = f"k1:{base64.b64encode(os.urandom(32)).decode()}"


@pytest.fixture(scope="session")
def sign_in(stack) -> Callable[[Persona], str]:
    """Sign in with the password, once per person; returns the access token."""
    known: dict[str, str] = {}

    def token_of(persona: Persona) -> str:
        if persona.name not in known:
            response = httpx.post(
                f"{stack.api_url}/auth/v1/token",
                params={"grant_type": "password"},
                headers={"apikey": stack.keys.publishable},
                json={"email": persona.email, "password": PASSWORD},
                trust_env=False,
            )
            response.raise_for_status()
            known[persona.name] = response.json()["access_token"]
        return known[persona.name]

    return token_of


@pytest.fixture(scope="session")
def settings(stack) -> Settings:
    """What the stack prints, without its JWT secret: sessions are verified by JWKS."""
    return Settings(
        _env_file=None,
        supabase_url=stack.api_url,
        supabase_key=stack.keys.publishable,
        environment="development",
        rate_limit="100000/minute",
        field_keys=FIELD_KEY,
    )


@pytest.fixture(scope="session")
def app(settings) -> FastAPI:
    """One application for all tests: building eighty endpoints takes longer than most of them."""
    return create_app(settings)


@pytest.fixture
async def http(app) -> AsyncIterator[httpx.AsyncClient]:
    """Calls the service in process; connections and caches are of this test alone."""
    async with serving(app) as (_, client):
        yield client


@pytest.fixture
def acting(http, sign_in) -> Callable[[Persona], CrmClient]:
    """The typed client as somebody."""
    return lambda persona: CrmClient(CRM_URL, sign_in(persona), http=http)


@pytest.fixture
def agent(acting) -> CrmClient:
    """The typed client as the agent."""
    return acting(AGENT)


@pytest.fixture
def manager(acting) -> CrmClient:
    """The typed client as the manager."""
    return acting(MANAGER)


@pytest.fixture
async def customer(agent) -> CustomerRead:
    """A customer of this test's own."""
    return await agent.create_customer(CustomerCreate(name="Ada Byron", email="ada@example.com"))


@pytest.fixture
async def rest(stack, sign_in) -> AsyncIterator[httpx.AsyncClient]:
    """PostgREST itself, as the admin: what the database says."""
    headers = {
        "apikey": stack.keys.publishable,
        "Authorization": f"Bearer {sign_in(ADMIN)}",
    }
    async with httpx.AsyncClient(
        base_url=f"{stack.api_url}/rest/v1", headers=headers, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="session")
def operations(app) -> list[Operation]:
    """Every operation of the service."""
    found = read_operations(app.openapi())
    assert len(found) >= 80
    return found


@pytest.fixture
async def matrix(http, stack, caplog) -> AsyncIterator[Refusals]:
    """Sends requests that must be refused; in the end every table must be as it was."""
    send = Refusals(http, caplog)
    listen(caplog)
    connection = await asyncpg.connect(stack.database_url)
    try:
        before = await fingerprint(connection)
        yield send
        send.check_log()
        assert send.wrong == {}
        after = await fingerprint(connection)
        assert [name for name in before if after[name] != before[name]] == []
    finally:
        await connection.close()
