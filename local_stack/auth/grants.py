"""Turn a password, a sign-up or a refresh token into an access token and a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_stack.auth.errors import AuthError
from local_stack.auth.services import Services
from local_stack.auth.sessions import (
    Caller,
    Session,
    TokenFamilyRevokedError,
    exchange_token,
    lock_session_of,
    open_session,
    touch_session,
)
from local_stack.auth.turns import Gone
from local_stack.auth.users import (
    AUDIENCE,
    Connection,
    User,
    find_user,
    find_user_to_sign_in,
)


async def grant_by_password(
    services: Services,
    *,
    email: str | None,
    phone: str | None,
    password: str,
    caller: Caller,
    gone: Gone,
) -> dict[str, Any]:
    """Sign a user in and return the token response.

    Raises:
        AuthError: unknown user and wrong password (the same refusal after the same time), banned,
            or address not confirmed; too many passwords to check at once.
        ClientDisconnect: the caller, whom ``gone`` watches, left before the password was checked.
    """
    async with services.reading() as connection:
        user = await find_user_to_sign_in(connection, email=email, phone=phone)
    stored_hash = None if user is None else user.password_hash
    if not await services.passwords.matches(password, stored_hash, gone) or user is None:
        raise AuthError(400, "invalid_credentials", "Invalid login credentials")
    if user.is_banned(services.now()):
        raise AuthError(400, "user_banned", "User is banned")
    if email is not None and user.row["email_confirmed_at"] is None:
        raise AuthError(400, "email_not_confirmed", "Email not confirmed")
    if phone is not None and user.row["phone_confirmed_at"] is None:
        raise AuthError(400, "phone_not_confirmed", "Phone not confirmed")
    async with services.transaction() as connection:
        return await grant_to_user(services, connection, user, caller)


async def grant_to_user(
    services: Services, connection: Connection, user: User, caller: Caller
) -> dict[str, Any]:
    """Open a session for a user whose identity is proven, and return the token response."""
    session, refresh_token = await open_session(connection, user.id, caller, services.now())
    signed_in = await find_user(connection, user.id)
    return _token_response(services, signed_in or user, session, refresh_token)


async def grant_by_refresh_token(services: Services, token: str, caller: Caller) -> dict[str, Any]:
    """Exchange a refresh token and return the token response.

    Raises:
        AuthError: unknown or used token, ended session, banned user.
    """
    reuse: TokenFamilyRevokedError | None = None
    async with services.transaction() as connection:
        now = services.now()
        session = await lock_session_of(connection, token)
        user = await find_user(connection, session.user_id)
        if user is None:
            raise AuthError(
                400, "session_not_found", "Invalid Refresh Token: No Valid Session Found"
            )
        if user.is_banned(now):
            raise AuthError(400, "user_banned", "Invalid Refresh Token: User Banned")
        session.require_valid(now)
        try:
            fresh = await exchange_token(
                connection,
                session,
                token,
                now=now,
                reuse_interval_s=services.config.refresh_reuse_interval_s,
            )
        except TokenFamilyRevokedError as error:
            reuse = error  # raised after the block, so that the revocation is committed
            fresh = ""
        else:
            await touch_session(connection, session.id, caller, now)
    if reuse is not None:
        raise reuse
    return _token_response(services, user, session, fresh)


def access_claims(services: Services, user: User, session: Session) -> Mapping[str, Any]:
    """Return the claims of an access token, without ``iat`` and ``exp``."""
    return {
        "iss": services.config.issuer,
        "sub": str(user.id),
        "aud": user.row["aud"] or AUDIENCE,
        "email": user.row["email"] or "",
        "phone": user.row["phone"] or "",
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "role": user.row["role"] or AUDIENCE,
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": int(session.created_at.timestamp())}],
        "session_id": str(session.id),
        "is_anonymous": user.row["is_anonymous"],
    }


def _token_response(
    services: Services, user: User, session: Session, refresh_token: str
) -> dict[str, Any]:
    lifetime_s = services.config.access_token_lifetime_s
    now_s = int(services.clock())
    claims = access_claims(services, user, session)
    return {
        "access_token": services.issuer.issue(claims, lifetime_s, now=now_s),
        "token_type": "bearer",
        "expires_in": lifetime_s,
        "expires_at": now_s + lifetime_s,
        "refresh_token": refresh_token,
        "user": user.to_json(),
    }
