"""Sessions and refresh tokens: rows of ``auth.sessions`` and ``auth.refresh_tokens``.

Each session has one family of refresh tokens; every refresh exchanges the active one for its
child. A used token that is not the parent of the active one, sent again after the grace, revokes
the family.
Functions take a connection of role supabase_auth_admin; the caller owns the transaction.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid4

import asyncpg

from local_stack.auth.errors import AuthError
from local_stack.auth.users import Connection

_log = logging.getLogger("local_stack.auth")

_TOKEN_BYTES = 16
_NO_INSTANCE = UUID(int=0)
_MAX_USER_AGENT_CHARS = 1_000


class LogoutScope(StrEnum):
    """Which sessions a logout ends."""

    GLOBAL = "global"
    LOCAL = "local"
    OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request comes from, as far as sessions remember it."""

    user_agent: str | None
    ip: str | None


@dataclass(frozen=True, slots=True)
class Session:
    """An open session.

    Attributes:
        id: ``session_id`` of its tokens.
        user_id: whose session it is.
        created_at: when the user signed in.
        not_after: when it ends whatever happens, None: never.
    """

    id: UUID
    user_id: UUID
    created_at: datetime
    not_after: datetime | None

    def require_valid(self, now: datetime) -> None:
        """Refuse a session whose time is over.

        Raises:
            AuthError: it ended at ``not_after``.
        """
        if self.not_after is not None and now >= self.not_after:
            raise AuthError(400, "session_expired", "Invalid Refresh Token: Session Expired")


class TokenFamilyRevokedError(AuthError):
    """A refresh token was used a second time too late; commit before raising it further."""

    def __init__(self) -> None:
        super().__init__(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")


async def open_session(
    connection: Connection, user_id: UUID, caller: Caller, now: datetime
) -> tuple[Session, str]:
    """Start a session and return it with its first refresh token."""
    session = Session(uuid4(), user_id, now, None)
    await connection.execute(
        """
        insert into auth.sessions (id, user_id, created_at, updated_at, aal, user_agent, ip)
        values ($1, $2, $3, $3, 'aal1', $4, $5)
        """,
        session.id,
        user_id,
        now,
        _clip(caller.user_agent),
        caller.ip,
    )
    token = await _insert_token(connection, session, None, now)
    await connection.execute(
        "update auth.users set last_sign_in_at = $2, updated_at = $2 where id = $1", user_id, now
    )
    return session, token


async def find_session(connection: Connection, session_id: UUID) -> Session | None:
    """Return the session with this id, None when it has ended."""
    return _to_session(
        await connection.fetchrow(
            "select id, user_id, created_at, not_after from auth.sessions where id = $1", session_id
        )
    )


async def lock_session_of(connection: Connection, token: str) -> Session:
    """Return the session a refresh token belongs to, locked against other refreshes.

    Raises:
        AuthError: there is no such token, or its session has ended.
    """
    row = await connection.fetchrow(
        """
        select s.id, s.user_id, s.created_at, s.not_after
        from auth.refresh_tokens t
        join auth.sessions s on s.id = t.session_id
        where t.token = $1
        for update of s
        """,
        token,
    )
    session = _to_session(row)
    if session is None:
        raise AuthError(
            400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found"
        )
    return session


async def exchange_token(
    connection: Connection,
    session: Session,
    token: str,
    *,
    now: datetime,
    reuse_interval_s: float,
) -> str:
    """Return the refresh token that replaces ``token``. The session must be locked.

    The parent of the active token gets the active token again: its holder lost the answer. Any
    other used token is exchanged within the reuse interval and revokes the whole family after it.

    Raises:
        TokenFamilyRevokedError: reuse; the family has been revoked and that must be committed.
        AuthError: the token has gone.
    """
    used = await connection.fetchrow(
        "select revoked, updated_at from auth.refresh_tokens where token = $1 and session_id = $2",
        token,
        session.id,
    )
    if used is None:
        raise AuthError(
            400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found"
        )
    if used["revoked"]:
        active = await connection.fetchrow(
            "select token, parent from auth.refresh_tokens"
            " where session_id = $1 and revoked = false order by id desc limit 1",
            session.id,
        )
        if active is not None and active["parent"] == token:
            return str(active["token"])
        if now > used["updated_at"] + timedelta(seconds=reuse_interval_s):
            await _revoke_family(connection, session.id, now)
            raise TokenFamilyRevokedError
    await connection.execute(
        "update auth.refresh_tokens set revoked = true, updated_at = $2 where token = $1",
        token,
        now,
    )
    return await _insert_token(connection, session, token, now)


async def touch_session(
    connection: Connection, session_id: UUID, caller: Caller, now: datetime
) -> None:
    """Record a refresh."""
    await connection.execute(
        """
        update auth.sessions
        set refreshed_at = $2, updated_at = $3, user_agent = $4, ip = $5
        where id = $1
        """,
        session_id,
        now.astimezone(UTC).replace(tzinfo=None),
        now,
        _clip(caller.user_agent),
        caller.ip,
    )


async def end_sessions(
    connection: Connection, user_id: UUID, current: UUID | None, scope: LogoutScope
) -> None:
    """End sessions of a user; their refresh tokens go with them.

    Args:
        connection: where to write.
        user_id: whose sessions.
        current: the session of the request; None: its token named none, so every one ends.
        scope: all of them, the current one, or all but the current one.
    """
    if scope is LogoutScope.GLOBAL or current is None:
        await connection.execute("delete from auth.sessions where user_id = $1", user_id)
    elif scope is LogoutScope.LOCAL:
        await connection.execute("delete from auth.sessions where id = $1", current)
    else:
        await connection.execute(
            "delete from auth.sessions where user_id = $1 and id <> $2", user_id, current
        )


async def _insert_token(
    connection: Connection, session: Session, parent: str | None, now: datetime
) -> str:
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    await connection.execute(
        """
        insert into auth.refresh_tokens
            (instance_id, token, user_id, revoked, created_at, updated_at, parent, session_id)
        values ($1, $2, $3, false, $4, $4, $5, $6)
        """,
        _NO_INSTANCE,
        token,
        str(session.user_id),
        now,
        parent,
        session.id,
    )
    return token


async def _revoke_family(connection: Connection, session_id: UUID, now: datetime) -> None:
    await connection.execute(
        "update auth.refresh_tokens set revoked = true, updated_at = $2"
        " where session_id = $1 and revoked = false",
        session_id,
        now,
    )
    _log.warning(
        "a refresh token of session %s was used twice; the session can no longer be refreshed",
        session_id,
    )


def _to_session(row: asyncpg.Record | None) -> Session | None:
    if row is None:
        return None
    return Session(
        UUID(str(row["id"])), UUID(str(row["user_id"])), row["created_at"], row["not_after"]
    )


def _clip(text: str | None) -> str | None:
    return None if text is None else text[:_MAX_USER_AGENT_CHARS]
