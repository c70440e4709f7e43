"""A customer of each test's own on the shared stack, and portals that are closed in the end."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from portal_sdk import PasswordAuth, Portal, PortalConfig
from tests.support.personas import PASSWORD, PASSWORD_HASH


@dataclass
class Account:
    """A customer with a login, and the database as its owner sees it."""

    stack: Any
    database: asyncpg.Connection[Any]
    email: str
    user_id: str
    customer_id: uuid.UUID

    @property
    def scope(self) -> str:
        return f"customer:{self.customer_id}"

    def portal(self, **settings: Any) -> Portal:
        arguments: dict[str, Any] = {"auth": PasswordAuth(self.email, PASSWORD), **settings}
        return Portal(self.stack.api_url, self.stack.keys.publishable, **arguments)

    async def add_job(self, title: str = "Boiler") -> uuid.UUID:
        return await self.database.fetchval(
            "insert into jobs (customer_id, title) values ($1, $2) returning id",
            self.customer_id, title,
        )  # fmt: skip

    async def rename_job(self, job_id: uuid.UUID, title: str) -> None:
        await self.database.execute("update jobs set title = $2 where id = $1", job_id, title)

    async def titles(self) -> dict[str, str]:
        rows = await self.database.fetch(
            "select id, title from jobs where customer_id = $1 and deleted_at is null",
            self.customer_id,
        )
        return {str(row["id"]): row["title"] for row in rows}

    async def head(self) -> int:
        return await self.database.fetchval(
            "select n from sync_scopes where scope = $1", self.scope
        )


async def make_account(stack: Any, database: Any) -> Account:
    email = f"{uuid.uuid4().hex}@example.com"
    secret = stack.keys.secret
    async with httpx.AsyncClient(base_url=stack.api_url) as http:
        answer = await http.post(
            "/auth/v1/admin/users",
            headers={"apikey": secret, "Authorization": f"Bearer {secret}"},
            json={"email": email, "password_hash": PASSWORD_HASH, "email_confirm": True},
        )
    user_id = answer.raise_for_status().json()["id"]
    customer_id = await database.fetchval(
        "insert into customers (name, email, portal_user_id) values ('Jo', $1, $2) returning id",
        email, uuid.UUID(user_id),
    )  # fmt: skip
    return Account(stack, database, email, user_id, customer_id)


@pytest.fixture
async def owner(stack: Any) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection of the project's owner."""
    connection = await asyncpg.connect(stack.database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def account(stack: Any, owner: Any) -> AsyncIterator[Account]:
    """A customer nobody else uses."""
    yield await make_account(stack, owner)
    stack.faults.reset()


@pytest.fixture
def new_account(stack: Any, owner: Any) -> Callable[[], Any]:
    """Make more customers."""
    return lambda: make_account(stack, owner)


@pytest.fixture
def quick() -> PortalConfig:
    """Short intervals, so that what takes 30 s in production takes a second here."""
    return PortalConfig(
        verify_interval_s=1.5, heartbeat_interval_s=0.5, heartbeat_timeout_s=0.5,
        request_timeout_s=2.0, ring_grace_s=0.3, poll_interval_s=0.2, join_timeout_s=2.0,
    )  # fmt: skip
