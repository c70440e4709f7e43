"""Signing keys change under a running stack: Auth, REST and Realtime follow at once."""

from __future__ import annotations

import json

import asyncpg
import httpx
import jwt
import pytest
from supabase_auth import AsyncGoTrueClient
from websockets.asyncio.client import connect

from local_stack.auth.tokens import TokenIssuer
from local_stack.keys import ProjectKeys
from tests.support.stack_thread import StackThread

CUSTOMER = "b0000000-0000-4000-8000-000000000001"
SIGN_IN = {"email": "customer001@example.com", "password": "portal-demo"}
TOPIC = "realtime:customer:c0000000-0000-4000-8000-000000000001"


class Caller:
    """Uses a token at each of the three servers."""

    def __init__(self, stack: StackThread, http: httpx.AsyncClient) -> None:
        self.stack = stack
        self.http = http

    async def sign_in(self) -> str:
        answer = await self.http.post(
            f"{self.stack.api_url}/auth/v1/token?grant_type=password",
            json=SIGN_IN,
            headers={"apikey": self.stack.keys.publishable},
        )
        return str(answer.json()["access_token"])

    async def accepted(self, token: str) -> tuple[bool, bool, bool]:
        """Return whether Auth, REST and Realtime accept the token."""
        headers = {"apikey": self.stack.keys.publishable, "authorization": f"Bearer {token}"}
        user = await self.http.get(f"{self.stack.api_url}/auth/v1/user", headers=headers)
        rows = await self.http.get(
            f"{self.stack.api_url}/rest/v1/customers?select=id", headers=headers
        )
        assert user.status_code in {200, 403}
        assert rows.status_code in {200, 401}
        return user.status_code == 200, rows.status_code == 200, await self._joins(token)

    async def _joins(self, token: str) -> bool:
        url = self.stack.api_url.replace("http", "ws", 1)
        key = self.stack.keys.publishable
        async with connect(f"{url}/realtime/v1/websocket?apikey={key}&vsn=2.0.0") as socket:
            payload = {"config": {"private": True}, "access_token": token}
            await socket.send(json.dumps(["1", "1", TOPIC, "phx_join", payload]))
            reply = json.loads(await socket.recv())
        return bool(reply[4]["status"] == "ok")


ALL, NONE = (True, True, True), (False, False, False)


async def test_tokens_of_a_previous_key_work_until_it_is_revoked(fresh_stack: StackThread) -> None:
    """Rotation interrupts nobody; revoking ends the old tokens everywhere; HS256 is untouched."""
    keys = fresh_stack.keys
    async with httpx.AsyncClient(timeout=20) as http:
        caller = Caller(fresh_stack, http)
        old = await caller.sign_in()
        old_kid = jwt.get_unverified_header(old)["kid"]
        legacy_claims = {"role": "authenticated", "sub": CUSTOMER, "aud": "authenticated"}
        legacy = TokenIssuer(keys).issue(legacy_claims, 600, legacy=True)
        assert jwt.get_unverified_header(legacy)["alg"] == "HS256"
        assert await caller.accepted(old) == await caller.accepted(legacy) == ALL

        keys.rotate()
        new = await caller.sign_in()
        assert jwt.get_unverified_header(new)["kid"] not in {None, old_kid}
        assert await caller.accepted(old) == await caller.accepted(new) == ALL

        keys.revoke(old_kid)
        assert await caller.accepted(old) == NONE
        assert await caller.accepted(new) == await caller.accepted(legacy) == ALL
        published = await http.get(f"{fresh_stack.api_url}/auth/v1/.well-known/jwks.json")
        assert old_kid not in published.text

        forged = TokenIssuer(ProjectKeys.generate()).issue(legacy_claims, 600, legacy=True)
        assert await caller.accepted(forged) == NONE


async def test_the_official_client_follows_a_rotation(stack: StackThread) -> None:
    """Its cached key set already holds the standby key; a key made later is fetched anew."""
    client = AsyncGoTrueClient(
        url=f"{stack.api_url}/auth/v1", headers={"apikey": stack.keys.publishable},
        auto_refresh_token=False,
    )  # fmt: skip
    seen = set()
    for _ in range(3):
        answer = await client.sign_in_with_password({**SIGN_IN})
        assert answer.session is not None
        seen.add(jwt.get_unverified_header(answer.session.access_token)["kid"])
        claims = await client.get_claims()
        assert claims is not None
        assert claims["claims"]["sub"] == CUSTOMER
        stack.keys.rotate()
    assert len(seen) == 3
    await client.sign_out({"scope": "local"})
    await client.close()


@pytest.mark.parametrize("kind", ["anon", "service_role"])
async def test_legacy_keys_are_hs256_tokens_of_the_projects_secret(
    stack: StackThread, kind: str
) -> None:
    """Anyone with the secret can check a legacy key, and it acts as its role."""
    key = getattr(stack.keys, kind)
    assert jwt.decode(key, stack.keys.jwt_secret, algorithms=["HS256"])["role"] == kind
    headers = {"apikey": key, "authorization": f"Bearer {key}"}
    async with httpx.AsyncClient() as http:
        rows = await http.get(f"{stack.api_url}/rest/v1/staff?select=user_id", headers=headers)
    if kind == "anon":
        assert rows.status_code == 401
    else:
        connection = await asyncpg.connect(stack.admin_database_url)
        try:
            assert len(rows.json()) == await connection.fetchval("select count(*) from staff")
        finally:
            await connection.close()
