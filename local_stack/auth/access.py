"""Who sends a request: check the bearer token and load the user and the session it names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.requests import Request

from local_stack.auth.errors import AuthError, validation_failed
from local_stack.auth.services import Services
from local_stack.auth.sessions import Caller, Session, find_session
from local_stack.auth.tokens import (
    Claims,
    TokenClaimsError,
    TokenError,
    TokenExpiredError,
    TokenMalformedError,
    TokenSignerError,
)
from local_stack.auth.users import User, find_user

_BEARER = re.compile(r"(?:B|b)earer (\S+)")
_ADMIN_ROLES = frozenset({"service_role", "supabase_admin"})


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The user behind a request, and the session of their token when it names one."""

    user: User
    session: Session | None
    claims: Claims


async def require_user(services: Services, request: Request) -> SignedIn:
    """Return the signed-in user of the request.

    Raises:
        AuthError: no or bad token, or its user or session does not exist any more.
    """
    claims = _claims_of(services, request)
    subject = claims.get("sub")
    if not subject:
        raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
    user_id = _parse_uuid(subject)
    if user_id is None:
        raise AuthError(400, "bad_jwt", "invalid claim: sub claim must be a UUID")
    session_id = _session_id(claims)
    async with services.reading() as connection:
        user = await find_user(connection, user_id)
        session = None if session_id is None else await find_session(connection, session_id)
    if user is None:
        raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
    if session_id is not None and session is None:
        raise AuthError(
            403, "session_not_found", "Session from session_id claim in JWT does not exist"
        )
    return SignedIn(user, session, claims)


def require_admin(services: Services, request: Request) -> None:
    """Let only the service role pass.

    Raises:
        AuthError: no or bad token, or a token of another role.
    """
    if _claims_of(services, request).get("role") not in _ADMIN_ROLES:
        raise AuthError(403, "not_admin", "User not allowed")


def require_audience(signed_in: SignedIn) -> None:
    """Refuse a token that names no audience, as GoTrue does before it shows a user."""
    audience = signed_in.claims.get("aud")
    first = audience[0] if isinstance(audience, list) and audience else audience
    if not isinstance(first, str) or not first:
        raise validation_failed("Token audience doesn't match request audience")


def caller_of(request: Request) -> Caller:
    """Return what sessions remember about the sender."""
    return Caller(
        user_agent=request.headers.get("user-agent"),
        ip=None if request.client is None else request.client.host,
    )


def _claims_of(services: Services, request: Request) -> Claims:
    match = _BEARER.fullmatch(request.headers.get("authorization", ""))
    if match is None:
        raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    token = match[1]
    if token.startswith("sb_"):
        claims = services.verifier.claims_of_api_key(token)
        if claims is not None:
            return claims
    try:
        return services.verifier.verify(token, services.clock())
    except TokenError as error:
        raise AuthError(
            403,
            "bad_jwt",
            f"invalid JWT: unable to parse or verify signature, {_explain(error)}",
        ) from error


def _explain(error: TokenError) -> str:
    if isinstance(error, TokenExpiredError):
        return "token has invalid claims: token is expired"
    if isinstance(error, TokenMalformedError):
        return f"token is malformed: {error.reason}"
    if isinstance(error, TokenSignerError):
        detail = "missing kid" if error.kid is None else f"unrecognized JWT kid {error.kid}"
        return f"token is unverifiable: error while executing keyfunc: {detail}"
    if isinstance(error, TokenClaimsError):
        return f"token has invalid claims: {', '.join((*error.missing, *error.invalid))}"
    return "token signature is invalid: signature is invalid"


def _session_id(claims: Claims) -> UUID | None:
    value = claims.get("session_id")
    if not value:
        return None
    session_id = _parse_uuid(value)
    if session_id is None:
        raise AuthError(403, "bad_jwt", "invalid claim: session_id claim must be a UUID")
    return session_id if session_id.int else None


def _parse_uuid(value: Any) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
