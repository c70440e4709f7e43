"""The GoTrue-compatible HTTP server: routes, refusals, start and stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local_stack.auth.admin_routes import AdminRoutes
from local_stack.auth.config import AuthConfig
from local_stack.auth.errors import (
    API_VERSION_HEADER,
    ERROR_CODE_HEADER,
    AuthError,
    closest_api_version,
    validation_failed,
)
from local_stack.auth.passwords import PasswordHasher
from local_stack.auth.refused import PATHS, Missing
from local_stack.auth.services import UNREACHABLE, Services, open_pool
from local_stack.auth.tokens import TokenIssuer, TokenVerifier
from local_stack.auth.user_routes import UserRoutes
from local_stack.keys import ProjectKeys

_log = logging.getLogger("local_stack.auth")

Endpoint = Callable[[Request], Awaitable[Response]]

_ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class AuthServer:
    """Serve ``/auth/v1`` of one project; paths in ``app`` are without that prefix.

    ``app`` may be mounted before ``start``; requests are answered with 503 until then and after
    ``stop``. Belongs to one event loop.
    """

    def __init__(
        self,
        config: AuthConfig,
        keys: ProjectKeys,
        verifier: TokenVerifier,
        issuer: TokenIssuer,
        dsn_auth_admin: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._dsn = dsn_auth_admin
        self._services = Services(config, keys, verifier, issuer, clock)
        self.app = Starlette(
            routes=_routes(self._services),
            exception_handlers={HTTPException: _answer_http_exception},
        )

    @property
    def keys(self) -> ProjectKeys:
        """The project's keys, which the gateway checks."""
        return self._services.keys

    @property
    def passwords(self) -> PasswordHasher:
        """The hasher of a started server."""
        return self._services.passwords

    async def is_ready(self) -> bool:
        """Tell whether the database answers."""
        try:
            async with self._services.reading() as connection:
                return await connection.fetchval("select true") is True
        except UNREACHABLE:
            return False

    async def start(self) -> None:
        """Connect to the database.

        Raises:
            OSError, asyncpg.PostgresError: the database is not reachable or refuses the role.
        """
        if self._services.pool is not None:
            return
        config = self._services.config
        self._services.pool = await open_pool(self._dsn, config)
        self._services.hasher = PasswordHasher(
            config.bcrypt_rounds,
            max_waiting=config.max_waiting_passwords,
            max_wait_s=config.max_password_wait_s,
        )

    async def stop(self) -> None:
        """Give the connections back. Safe to call twice.

        Cancellation:
            Closes the connections at once.
        """
        pool, hasher = self._services.pool, self._services.hasher
        self._services.pool = self._services.hasher = None
        if hasher is not None:
            hasher.close()
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), self._services.config.database_timeout_s)
            except TimeoutError:
                pool.terminate()


def _routes(services: Services) -> list[Route]:
    user, admin = UserRoutes(services), AdminRoutes(services)

    async def jwks(request: Request) -> Response:
        del request
        return JSONResponse(services.keys.jwks(), headers={"Cache-Control": "public, max-age=600"})

    async def settings(request: Request) -> Response:
        del request
        return JSONResponse(_settings(services.config))

    served: list[tuple[str, str, Endpoint]] = [
        ("POST", "/token", user.token),
        ("POST", "/signup", user.sign_up),
        ("GET", "/user", user.read_user),
        ("PUT", "/user", user.change_user),
        ("POST", "/logout", user.log_out),
        ("GET", "/admin/users", admin.list),
        ("POST", "/admin/users", admin.create),
        ("GET", "/admin/users/{user_id}", admin.read),
        ("PUT", "/admin/users/{user_id}", admin.change),
        ("DELETE", "/admin/users/{user_id}", admin.delete),
        ("GET", "/.well-known/jwks.json", jwks),
        ("GET", "/health", _health),
        ("GET", "/settings", settings),
    ]
    routes = [
        Route(path, _guarded(endpoint), methods=[method]) for method, path, endpoint in served
    ]
    routes += [
        Route(path, _guarded(_refusing(missing)), methods=_ANY_METHOD)
        for path, missing in PATHS.items()
    ]
    return routes


async def _health(request: Request) -> Response:
    del request
    return JSONResponse(
        {"version": "local", "name": "GoTrue", "description": "GoTrue-compatible local auth server"}
    )


def _settings(config: AuthConfig) -> dict[str, Any]:
    return {
        "external": {"anonymous_users": False, "email": True, "phone": False},
        "disable_signup": not config.signup_enabled,
        "mailer_autoconfirm": True,
        "phone_autoconfirm": False,
        "sms_provider": "",
        "saml_enabled": False,
    }


def _refusing(missing: Missing) -> Endpoint:
    async def refuse(request: Request) -> Response:
        del request
        raise missing.refusal()

    return refuse


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Answer every failure of an endpoint in GoTrue's shape."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except AuthError as error:
            return _refusal(request, error)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except (asyncpg.DataError, asyncpg.CharacterNotInRepertoireError):
            # Text that PostgreSQL cannot hold, such as a zero character.
            return _refusal(request, validation_failed("A value cannot be stored as text"))
        except UNREACHABLE as error:
            _log.warning("the database did not answer: %s", type(error).__name__)
            return _refusal(
                request, AuthError(503, "unexpected_failure", "The database is not reachable")
            )
        except Exception:  # noqa: BLE001  a bug must not cost the connection; it is logged in full
            _log.exception("unhandled failure in %s %s", request.method, request.url.path)
            return _refusal(
                request,
                AuthError(
                    500,
                    "unexpected_failure",
                    "Unexpected failure, please check server logs for more information",
                ),
            )

    return answer


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        refusal = AuthError(405, "unknown", f"Method {request.method} is not allowed here")
    else:
        refusal = AuthError(status, "unknown", f"There is no {request.url.path} in the auth server")
    return _refusal(request, refusal)


def _refusal(request: Request, error: AuthError) -> Response:
    api_version = closest_api_version(request.headers.get(API_VERSION_HEADER))
    headers = {} if api_version is None else {API_VERSION_HEADER: api_version}
    if error.is_told_in_a_header(api_version):
        headers[ERROR_CODE_HEADER] = error.error_code
    return JSONResponse(error.body(api_version), error.status, headers)
