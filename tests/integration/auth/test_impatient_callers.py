"""Passwords are checked one after the other: for those who still wait, and within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import bcrypt
import httpx
import pytest

from local_stack.auth import passwords
from tests.integration.auth.auth_api import PASSWORD, AuthApi, running_auth_api
from tests.support.cluster import Database
from tests.support.waiting import eventually

AT_WORK = 2  # passwords checked at a time
IMPATIENT = 40
PATIENT_S = 600.0  # nobody is sent away
EMAIL = "ada@example.com"


class Bcrypt:
    """The real bcrypt, which counts, and takes as long as the test wants."""

    def __init__(self) -> None:
        self.checks = 0
        self.open = threading.Event()
        self.hashpw, self.gensalt = bcrypt.hashpw, bcrypt.gensalt

    def checkpw(self, password: bytes, stored: bytes) -> bool:
        """Compare once the test lets it."""
        self.checks += 1
        assert self.open.wait(30)
        return bcrypt.checkpw(password, stored)


@pytest.fixture
def slow_bcrypt(monkeypatch: pytest.MonkeyPatch) -> Bcrypt:
    """Hold every password check until ``open`` is set."""
    slow = Bcrypt()
    monkeypatch.setattr(passwords, "bcrypt", slow)
    return slow


@contextlib.asynccontextmanager
async def _serving(database: Database, bcrypt: Bcrypt, **settings: Any) -> AsyncIterator[AuthApi]:
    async with running_auth_api(database, **settings) as api:
        try:
            yield api
        finally:
            bcrypt.open.set()  # the server ends only when its work does


async def test_callers_who_gave_up_cost_no_hash(
    bare_database: Database, slow_bcrypt: Bcrypt
) -> None:
    """Whoever asks next is next, however many asked before and went away."""
    async with _serving(bare_database, slow_bcrypt, max_password_wait_s=PATIENT_S) as api:
        served = await _occupied(api, slow_bcrypt)
        async with httpx.AsyncClient(timeout=20) as impatient:
            gone = [asyncio.create_task(_ask(api, impatient)) for _ in range(IMPATIENT)]
            await _until_waiting(api, IMPATIENT)
            for one in gone:
                one.cancel()
            await asyncio.gather(*gone, return_exceptions=True)
        await _until_waiting(api, 0)
        served.append(asyncio.create_task(_ask(api)))
        await _until_waiting(api, 1)
        slow_bcrypt.open.set()
        assert [one.status_code for one in await asyncio.gather(*served)] == [200] * (AT_WORK + 1)
        assert slow_bcrypt.checks == AT_WORK + 1
        [[sessions]] = await api.rows("select count(*) from auth.sessions")
        assert sessions == AT_WORK + 1


async def test_a_full_queue_is_429_at_once(bare_database: Database, slow_bcrypt: Bcrypt) -> None:
    """Those who are in it get their turn."""
    settings = {"max_waiting_passwords": 2, "max_password_wait_s": PATIENT_S}
    async with _serving(bare_database, slow_bcrypt, **settings) as api:
        served = await _occupied(api, slow_bcrypt)
        served += [asyncio.create_task(_ask(api)) for _ in range(2)]
        await _until_waiting(api, 2)
        refused = await _ask(api)
        assert refused.status_code == 429
        assert refused.json()["error_code"] == "over_request_rate_limit"
        slow_bcrypt.open.set()
        assert [one.status_code for one in await asyncio.gather(*served)] == [200] * (AT_WORK + 2)


async def test_a_wait_too_long_is_504(bare_database: Database, slow_bcrypt: Bcrypt) -> None:
    """In GoTrue's words, which the clients take for a reason to try again; then it works."""
    async with _serving(bare_database, slow_bcrypt, max_password_wait_s=0.05) as api:
        served = await _occupied(api, slow_bcrypt)
        late = await _ask(api)
        assert (late.status_code, late.json()["error_code"]) == (504, "request_timeout")
        slow_bcrypt.open.set()
        assert [one.status_code for one in await asyncio.gather(*served)] == [200] * AT_WORK
        assert (await _ask(api)).status_code == 200
        assert slow_bcrypt.checks == AT_WORK + 1


async def _occupied(api: AuthApi, bcrypt: Bcrypt) -> list[asyncio.Task[httpx.Response]]:
    """Return the sign-ins that hold every place, each in the middle of its check."""
    await api.add_user(EMAIL)
    at_work = [asyncio.create_task(_ask(api)) for _ in range(AT_WORK)]
    await eventually(lambda: bcrypt.checks == AT_WORK)
    return at_work


async def _until_waiting(api: AuthApi, callers: int) -> None:
    await eventually(lambda: api.server.passwords.waiting == callers)


async def _ask(api: AuthApi, http: httpx.AsyncClient | None = None) -> httpx.Response:
    return await (http or api.http).post(
        f"{api.url}/auth/v1/token?grant_type=password",
        json={"email": EMAIL, "password": PASSWORD},
        headers={"apikey": api.keys.publishable},
    )
