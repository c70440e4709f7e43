"""Where tokens come from, and what a token says about itself."""

from __future__ import annotations

import base64
import functools
import json
import time
from typing import Any, cast

import pytest

from portal_sdk import PasswordAuth, TokenAuth
from portal_sdk._runtime.http import HttpAnswer, HttpApi, HttpRequest
from portal_sdk._runtime.jwt import read_claims
from portal_sdk.errors import (
    ConfigurationError,
    ProtocolError,
    RateLimitedError,
    SignInRefusedError,
    TokenExpiredError,
    TokenRejectedError,
    TransportError,
)
from portal_sdk.testing.rest import json_answer


def jwt(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{payload}.sign"


class AuthServer:
    """Answers /auth/v1/token as told; remembers the grants asked for."""

    def __init__(self) -> None:
        self.grants: list[str] = []
        self.answers: dict[str, HttpAnswer] = {}
        self.serial = 0
        self.http = HttpApi(self, "http://p")

    async def close(self) -> None:
        pass

    async def send(self, request: HttpRequest) -> HttpAnswer:
        grant = request.params["grant_type"]
        self.grants.append(grant)
        if grant in self.answers:
            return self.answers[grant]
        self.serial += 1
        session = {"access_token": jwt(sub="u", serial=self.serial), "expires_in": 3600,
                   "refresh_token": f"r{self.serial}"}  # fmt: skip
        return json_answer(200, session)


def source() -> Any:
    return PasswordAuth("jo@example.com", "secret").token_source()


async def test_a_session_signs_in_once_and_is_then_refreshed() -> None:
    server, tokens = AuthServer(), source()
    first = await tokens.fetch(server.http, renew=False)
    again = await tokens.fetch(server.http, renew=False)
    renewed = await tokens.fetch(server.http, renew=True)
    assert server.grants == ["password", "refresh_token"]
    assert first.token == again.token != renewed.token
    assert first.life_s == 3600
    await server.http.close()


async def test_a_revoked_session_signs_in_anew() -> None:
    server, tokens = AuthServer(), source()
    await tokens.fetch(server.http, renew=False)
    server.answers["refresh_token"] = json_answer(400, {"error_code": "session_not_found"})
    await tokens.fetch(server.http, renew=True)
    assert server.grants == ["password", "refresh_token", "password"]
    await server.http.close()


@pytest.mark.parametrize(
    ("status", "kind"), [(400, SignInRefusedError), (429, RateLimitedError), (404, ProtocolError)]
)
async def test_a_refusal_and_a_passing_failure_differ(status: int, kind: type[Exception]) -> None:
    server = AuthServer()
    server.answers["password"] = json_answer(status, {"msg": "no"})
    with pytest.raises(kind):
        await source().fetch(server.http, renew=False)
    await server.http.close()


async def test_a_fixed_token_is_given_once_and_cannot_be_renewed() -> None:
    tokens = TokenAuth(jwt(sub="u", exp=time.time() + 60)).token_source()
    http: Any = None
    assert (await tokens.fetch(http, renew=False)).user_id == "u"
    with pytest.raises(TokenExpiredError, match="callable"):
        await tokens.fetch(http, renew=True)


@pytest.mark.parametrize(("age_s", "is_refused"), [(300, False), (3600, True)])
async def test_a_fixed_token_may_look_expired_by_minutes(age_s: float, is_refused: bool) -> None:
    tokens = TokenAuth(jwt(sub="u", exp=time.time() - age_s)).token_source()
    http: Any = None
    if is_refused:
        with pytest.raises(TokenExpiredError, match="sign in again"):
            await tokens.fetch(http, renew=False)
    else:
        await tokens.fetch(http, renew=False)


async def test_a_callable_that_raises_means_not_now() -> None:
    def broken() -> str:
        raise KeyError("x")

    http: Any = None
    with pytest.raises(TransportError, match="KeyError"):
        await TokenAuth(broken).token_source().fetch(http, renew=False)


@pytest.mark.parametrize("value", ["", None, 5])
async def test_a_callable_without_a_token_is_a_refusal(value: Any) -> None:
    http: Any = None
    with pytest.raises(SignInRefusedError):
        await TokenAuth(lambda: value).token_source().fetch(http, renew=False)


def _yielding() -> Any:
    yield "token"


@pytest.mark.parametrize(
    "provider",
    [lambda x: x, lambda *, scope: scope, _yielding],
)
def test_a_callable_that_can_never_be_called_is_refused_at_once(provider: Any) -> None:
    """It would fail at every call, and be tried again for ever."""
    with pytest.raises(ConfigurationError, match="TokenAuth cannot call this"):
        TokenAuth(provider)


def test_a_callable_may_have_defaults_and_be_anything_callable() -> None:
    class Source:
        def token(self, scope: str = "x") -> str:
            return scope

    for provider in (Source().token, lambda scope="x": scope, functools.partial(str, 5), str):
        TokenAuth(provider)  # pyright: ignore[reportArgumentType]


async def test_a_token_that_may_do_everything_is_refused_like_such_a_key() -> None:
    """At once when it is given, for good when the application hands it out later."""
    mighty, http = jwt(sub="u", role="service_role"), cast("Any", None)
    for secret in (mighty, jwt(role="service_role"), f" {mighty} ", "sb_secret_x"):
        with pytest.raises(ConfigurationError, match="must never be in a customer's app"):
            TokenAuth(secret)
    with pytest.raises(TokenRejectedError, match="must never be in a customer's app"):
        await TokenAuth(lambda: mighty).token_source().fetch(http, renew=False)
    TokenAuth(jwt(sub="u", role="authenticated"))


def test_only_the_same_login_proves_itself() -> None:
    salt = b"0" * 16
    proof = source().prove(salt)
    assert proof == PasswordAuth("JO@example.com ", "secret").token_source().prove(salt)  # type: ignore[attr-defined]
    assert proof != PasswordAuth("jo@example.com", "other").token_source().prove(salt)  # type: ignore[attr-defined]
    assert proof != source().prove(b"1" * 16)


@pytest.mark.parametrize(
    "text", ["", "x", "a.b.c", "a." + "é" + ".c", jwt(), jwt(sub=""), jwt(sub=5)]
)
def test_what_is_no_users_token_is_refused(text: str) -> None:
    with pytest.raises(TokenRejectedError, match="signed-in user"):
        read_claims(text)


@pytest.mark.parametrize("skew_s", [-300.0, 0.0, 300.0])
def test_a_new_token_lives_as_long_as_it_says_whatever_our_clock(skew_s: float) -> None:
    claims = read_claims(jwt(sub="u", iat=1000.0, exp=4600.0))
    assert claims.life_s(1000.0 + skew_s, is_new=True) == 3600.0
    assert claims.life_s(1000.0 + skew_s, is_new=False) == min(3600.0 - skew_s, 3600.0)


def test_secrets_are_not_in_a_repr() -> None:
    assert "secret" not in repr(PasswordAuth("jo@example.com", "secret"))
    assert "token-value" not in repr(TokenAuth("token-value"))


@pytest.mark.parametrize("arguments", [("", "x"), ("x", "")])
def test_a_login_without_a_part_is_refused(arguments: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        PasswordAuth(*arguments)
