"""Signing keys of a project: rotated while many ask, and an Auth that fails or says nothing."""

import asyncio
from typing import Any

import httpx
import pytest

from crm_service.errors import TokenRejectedError, UpstreamUnavailableError
from crm_service.signing_keys import SigningKeys
from tests.support.crm import SigningKey, make_settings, running_app

URL = "http://supabase.test/auth/v1/.well-known/jwks.json"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Auth(httpx.AsyncBaseTransport):
    """Publishes keys; silent until it is let speak."""

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] | None = []
        self.requests = 0
        self.may_speak = asyncio.Event()
        self.may_speak.set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        limit_s = request.extensions["timeout"]["read"]
        try:
            async with asyncio.timeout(limit_s):
                await self.may_speak.wait()
        except TimeoutError as error:
            raise httpx.ReadTimeout("silent") from error
        if self.published is None:
            return httpx.Response(500)
        return httpx.Response(200, json={"keys": self.published})


@pytest.fixture
def auth():
    return Auth()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def keys(auth, clock):
    async with httpx.AsyncClient(transport=auth, timeout=5) as http:
        yield SigningKeys(http, URL, ttl_s=600, retry_after_s=2, clock=clock)


async def test_everybody_who_asks_during_a_rotation_gets_the_new_key(keys, auth, clock):
    """Those who come while the keys are being fetched wait for them, too."""
    old, new = SigningKey("old"), SigningKey("new")
    auth.published = [old.jwk]
    await keys.find("old")
    clock.now += 60
    auth.published = [old.jwk, new.jwk]
    auth.may_speak.clear()

    asking = [asyncio.create_task(keys.find("new")) for _ in range(5)]
    await asyncio.sleep(0.05)
    late = asyncio.create_task(keys.find("new"))
    await asyncio.sleep(0.05)
    auth.may_speak.set()

    found = await asyncio.gather(*asking, late)
    assert {key.key_id for key in found} == {"new"}
    assert auth.requests == 2


async def test_nobody_waits_for_the_attempts_of_others(keys, auth):
    """While Auth is silent, all who ask together are answered together, after one time-out."""
    auth.may_speak.clear()
    keys._http.timeout = httpx.Timeout(0.3)

    started = asyncio.get_running_loop().time()
    asked = await asyncio.gather(*(keys.find("a") for _ in range(20)), return_exceptions=True)

    assert {type(error) for error in asked} == {UpstreamUnavailableError}
    assert asyncio.get_running_loop().time() - started < 1.5
    assert auth.requests == 1


async def test_who_goes_away_takes_the_answer_from_nobody(keys, auth):
    """The attempt of a caller who is cancelled goes on for the others."""
    key = SigningKey("a")
    auth.published = [key.jwk]
    auth.may_speak.clear()
    first = asyncio.create_task(keys.find("a"))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(keys.find("a"))
    await asyncio.sleep(0.05)

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    auth.may_speak.set()

    assert (await second).key_id == "a"
    assert auth.requests == 1


async def test_a_known_key_is_not_held_up_by_a_silent_auth(keys, auth, clock, monkeypatch):
    """Keys that are old are asked for again, and used on if there is no answer for a while."""
    monkeypatch.setattr("crm_service.signing_keys._PATIENCE_S", 0.1)
    auth.published = [SigningKey("a").jwk]
    await keys.find("a")
    clock.now += 601
    auth.may_speak.clear()

    async with asyncio.timeout(1):
        assert (await keys.find("a")).key_id == "a"
    assert auth.requests == 2

    # The answer is taken when it comes.
    auth.published = [SigningKey("b").jwk]
    auth.may_speak.set()
    await asyncio.sleep(0.05)
    assert (await keys.find("b")).key_id == "b"
    with pytest.raises(TokenRejectedError):
        await keys.find("a")


async def test_an_unknown_key_is_no_verdict_while_auth_is_down(keys, auth, clock):
    """Nobody is told to sign in again because the keys could not be read."""
    auth.published = [SigningKey("a").jwk]
    await keys.find("a")
    clock.now += 60
    auth.published = None

    for _ in range(2):
        with pytest.raises(UpstreamUnavailableError):
            await keys.find("new")
    assert auth.requests == 2

    clock.now += 60
    auth.published = [SigningKey("a").jwk]
    with pytest.raises(TokenRejectedError):
        await keys.find("new")


async def test_a_key_of_a_kind_to_come_does_not_hide_the_others(keys, auth):
    """What the library cannot read is left out."""
    strange = [{"kid": "x", "kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"}, {"kty": "RSA"}]
    auth.published = [*strange, SigningKey("a").jwk, {"kid": ["y"], "kty": "RSA"}]

    assert (await keys.find("a")).key_id == "a"
    with pytest.raises(TokenRejectedError):
        await keys.find("x")


# The public half of what every `supabase start` signs with; the other half is published, too.
DEMO = {
    "kid": "b81269f1-21d8-4f2e-b719-c2240a840d90",
    "kty": "EC",
    "crv": "P-256",
    "alg": "ES256",
    "x": "M5Sjqn5zwC9Kl1zVfUUGvv9boQjCGd45G8sdopBExB4",
    "y": "P6IXMvA2WYXSHSOMTBH2jsw_9rrzGy89FjPf6oOsIxQ",
}


@pytest.mark.parametrize("kid", [DEMO["kid"], "renamed"])
@pytest.mark.parametrize(
    ("environment", "refusal"),
    [
        ("production", "a key that this project does not have"),
        ("development", "signature is wrong"),
    ],
)
async def test_the_demo_signing_key_lets_nobody_in_outside_development(
    auth, kid, environment, refusal
):
    """Whoever has read the sources of `supabase start` could sign as anybody."""
    auth.published = [DEMO | {"kid": kid}]
    token = SigningKey(kid).sign()
    async with running_app(make_settings(environment=environment), auth) as (_, http):
        answer = await http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert refusal in answer.json()["detail"]
