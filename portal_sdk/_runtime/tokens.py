"""Where access tokens come from. When to get one is the TokenMachine's decision."""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from portal_sdk._core.json_value import as_object
from portal_sdk._runtime.delivery import check_callback
from portal_sdk._runtime.http import HttpApi
from portal_sdk._runtime.jwt import is_secret, read_claims
from portal_sdk.errors import (
    AuthError,
    ConfigurationError,
    NotFoundError,
    PortalError,
    ProtocolError,
    RestError,
    SignInRefusedError,
    TokenExpiredError,
    TransportError,
)

CLOCK_SKEW_S = 600.0


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token and how long it lives from now, in seconds; None without an end."""

    token: str = field(repr=False)
    user_id: str
    life_s: float | None


class TokenSource(Protocol):
    """One session's tokens; owned by one portal, called by one task at a time."""

    async def fetch(self, http: HttpApi, *, renew: bool) -> IssuedToken:
        """Return a token; with ``renew`` another one than last time.

        Raises:
            AuthError: No token without a person.
            PortalError: Not now; try again.
        """
        ...


class KnownLogin(Protocol):
    """A token source that can show, without a network, that it is the same login as before."""

    def prove(self, salt: bytes) -> bytes:
        """Return bytes that only this login gives for this salt; takes tens of milliseconds."""
        ...


class Auth(Protocol):
    """What the application gives a portal to sign in with."""

    def token_source(self) -> TokenSource:
        """Return a new source for one portal."""
        ...


@dataclass(frozen=True, slots=True)
class PasswordAuth:
    """Sign in with e-mail and password; the session is renewed until the portal closes.

    Args:
        email: The user's e-mail address.
        password: Kept in memory for signing in again when the session was revoked; never logged.
    """

    email: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        given = (self.email, self.password)
        if not all(isinstance(each, str) and each.strip() for each in given):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise ConfigurationError("PasswordAuth needs an e-mail address and a password")

    def token_source(self) -> TokenSource:
        """Return a new session."""
        return _PasswordSession(self)


TokenCallable = Callable[[], str | Awaitable[str]]


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """Use access tokens the application obtains itself.

    Args:
        token: The token, or a callable (sync or async) that returns a fresh one each time it is
            called. A fixed token cannot be renewed: when it ends the portal needs a new one.

    Raises:
        ConfigurationError: Neither, a callable that takes arguments, or a secret.
    """

    token: str | TokenCallable = field(repr=False)

    def __post_init__(self) -> None:
        if callable(self.token):
            _check_provider(self.token)
        elif not (isinstance(self.token, str) and self.token.strip()):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise ConfigurationError(
                "TokenAuth needs an access token or a callable that returns one"
            )
        elif is_secret(self.token.strip()):
            raise ConfigurationError(
                "A secret key must never be in a customer's app: pass the access token of a"
                " signed-in user"
            )

    def token_source(self) -> TokenSource:
        """Return a source over the token or callable."""
        if callable(self.token):
            return _CallableTokens(self.token)
        return _FixedToken(self.token.strip())


def _check_provider(provider: TokenCallable) -> None:
    """Refuse what would fail at every call; it would be tried again for ever."""
    try:
        check_callback(provider)
    except ConfigurationError as error:
        raise ConfigurationError(f"TokenAuth cannot call this for a token: {error}") from error


class _PasswordSession:
    """GoTrue's password and refresh_token grants, one at a time."""

    def __init__(self, auth: PasswordAuth) -> None:
        self._auth = auth
        self._refresh_token: str | None = None
        self._issued: IssuedToken | None = None
        self._ends_at_s = 0.0

    def prove(self, salt: bytes) -> bytes:
        """Return a slow hash of e-mail and password."""
        login = f"{self._auth.email.strip().lower()}\0{self._auth.password}"
        return hashlib.scrypt(login.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)

    async def fetch(self, http: HttpApi, *, renew: bool) -> IssuedToken:
        """Return the session's token, renewed or signed in anew as needed."""
        if not renew and self._issued and time.monotonic() < self._ends_at_s:
            life_s = self._ends_at_s - time.monotonic()
            return IssuedToken(self._issued.token, self._issued.user_id, life_s)
        if self._refresh_token:
            try:
                return await self._grant(
                    http, "refresh_token", {"refresh_token": self._refresh_token}
                )
            except AuthError:
                self._refresh_token = None  # revoked or used up: the password still counts
        body = {"email": self._auth.email, "password": self._auth.password}
        return await self._grant(http, "password", body)

    async def _grant(self, http: HttpApi, grant: str, body: dict[str, str]) -> IssuedToken:
        params = {"grant_type": grant}
        try:
            answer = await http.request("POST", "/auth/v1/token", json=body, params=params)
        except NotFoundError as error:
            raise ProtocolError(
                "This server has no Supabase Auth at /auth/v1: check the project URL"
            ) from error
        except RestError as error:
            if error.retryable:
                raise
            raise SignInRefusedError(
                f"Sign-in was refused ({error.message}): check e-mail and password",
                code=error.code,
                status=error.status,
            ) from error
        return self._keep(answer)

    def _keep(self, body: Any) -> IssuedToken:
        answer = as_object(body) or {}
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise ProtocolError("The auth server answered without an access token")
        self._refresh_token = answer.get("refresh_token") or self._refresh_token
        claims = read_claims(token)
        life_s = answer.get("expires_in")
        if not isinstance(life_s, (int, float)):
            life_s = claims.life_s(time.time(), is_new=True)
        self._issued = IssuedToken(token, claims.user_id, life_s)
        self._ends_at_s = time.monotonic() + (life_s if life_s is not None else 3600.0)
        return self._issued


class _FixedToken:
    """One token that nobody can renew."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def fetch(self, http: HttpApi, *, renew: bool) -> IssuedToken:
        """Return the token once; a renewal is refused."""
        del http
        if renew:
            raise TokenExpiredError(
                "The access token has ended or was not accepted, and a fixed token cannot be"
                " renewed: give TokenAuth a callable, or open a new portal with a new token"
            )
        claims = read_claims(self._token)
        ends_at_s = claims.expires_at_s
        # Our clock may be wrong by minutes: until then the server has the last word.
        if ends_at_s is not None and time.time() > ends_at_s + CLOCK_SKEW_S:
            raise TokenExpiredError("The access token has ended: sign in again for a new one")
        return IssuedToken(self._token, claims.user_id, None)


class _CallableTokens:
    """Tokens the application hands out."""

    def __init__(self, provider: TokenCallable) -> None:
        self._provider = provider

    async def fetch(self, http: HttpApi, *, renew: bool) -> IssuedToken:
        """Call the application; what it raises means "not now" unless it is an AuthError."""
        del renew
        try:
            value = self._provider()
            token = await value if inspect.isawaitable(value) else value
        except PortalError:
            raise
        except Exception as error:
            raise TransportError(
                f"The token callable raised {type(error).__name__}; it is called again"
            ) from error
        if not isinstance(token, str) or not token.strip():  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise SignInRefusedError("The token callable returned no token: sign in again")
        claims = read_claims(token.strip())
        return IssuedToken(
            token.strip(), claims.user_id, claims.life_s(http.clock.now_s(), is_new=False)
        )
