"""Write users and identities: create, change, delete, and what a refusing database means.

Functions take a connection of role supabase_auth_admin; the caller owns the transaction.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

import asyncpg

from local_stack.auth.errors import AuthError
from local_stack.auth.services import UNREACHABLE
from local_stack.auth.users import (
    NO_INSTANCE,
    TOKEN_COLUMNS,
    Connection,
    NewUser,
    User,
    find_user,
)

_log = logging.getLogger("local_stack.auth")

_DUPLICATES: Mapping[str, tuple[str, str]] = {
    "users_email_partial_key": (
        "email_exists",
        "A user with this email address has already been registered",
    ),
    "users_phone_key": (
        "phone_exists",
        "A user with this phone number has already been registered",
    ),
    "users_pkey": ("user_already_exists", "A user with this id has already been registered"),
}


async def insert_user(connection: Connection, new: NewUser, now: datetime) -> User:
    """Create a user with their identities.

    Raises:
        AuthError: address, number or id is taken (422), or the database refused, for example a
            trigger of the project (500).
    """
    providers = [name for name, value in (("email", new.email), ("phone", new.phone)) if value]
    values: dict[str, Any] = {
        "instance_id": NO_INSTANCE,
        "id": new.id,
        "aud": new.aud,
        "role": new.role,
        "email": new.email,
        "phone": new.phone,
        "encrypted_password": new.password_hash,
        "email_confirmed_at": now if new.email_confirmed else None,
        "phone_confirmed_at": now if new.phone_confirmed else None,
        "confirmation_token": "",
        "recovery_token": "",
        "email_change_token_new": "",
        "email_change": "",
        "raw_app_meta_data": {
            "provider": providers[0],
            "providers": providers,
            **_without_nulls(new.app_metadata),
        },
        "raw_user_meta_data": _without_nulls(new.user_metadata),
        "created_at": now,
        "updated_at": now,
        "banned_until": new.banned_until,
    }
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    try:
        await connection.execute(
            f"insert into auth.users ({', '.join(values)}) values ({places})", *values.values()
        )
        for provider in providers:
            await _insert_identity(connection, new, provider, now)
    except asyncpg.PostgresError as error:
        _refuse(error, "Database error saving new user")
    return await _reload(connection, new.id)


async def update_user(
    connection: Connection, user_id: UUID, changes: Mapping[str, Any], now: datetime
) -> User:
    """Write columns of ``auth.users`` and return the user as they are then.

    Args:
        connection: where to write.
        user_id: an existing user.
        changes: new values by column; the names come from this package only.
        now: goes into ``updated_at``.

    Raises:
        AuthError: address or number is taken (422), or the database refused (500).
    """
    values = {**changes, "updated_at": now}
    settings = ", ".join(f"{column} = ${n}" for n, column in enumerate(values, start=2))
    try:
        await connection.execute(
            f"update auth.users set {settings} where id = $1", user_id, *values.values()
        )
    except asyncpg.PostgresError as error:
        _refuse(error, "Error updating user")
    return await _reload(connection, user_id)


async def set_identity(
    connection: Connection, user_id: UUID, provider: str, data: Mapping[str, Any], now: datetime
) -> None:
    """Write fields of the user's identity at ``provider``, creating it when missing."""
    await connection.execute(
        """
        insert into auth.identities
            (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $5, $5)
        on conflict (provider_id, provider) do update
            set identity_data = auth.identities.identity_data || excluded.identity_data,
                updated_at = excluded.updated_at
        """,
        str(user_id),
        user_id,
        {"sub": str(user_id), **data},
        provider,
        now,
    )


async def delete_user(connection: Connection, user_id: UUID) -> None:
    """Delete the user with everything that refers to them and cascades.

    Raises:
        AuthError: a row of the project still refers to the user (500, as GoTrue).
    """
    try:
        await connection.execute("delete from auth.users where id = $1", user_id)
    except asyncpg.PostgresError as error:
        _refuse(error, "Database error deleting user")


async def soft_delete_user(connection: Connection, user: User, now: datetime) -> None:
    """Make the user unusable and unrecognisable but keep the row and its id."""
    empty_tokens = dict.fromkeys(TOKEN_COLUMNS, "")
    await update_user(
        connection,
        user.id,
        {
            **empty_tokens,
            "email": _obscure(user.id, user.row["email"]),
            "phone": _obscure(user.id, user.row["phone"]),
            "encrypted_password": "",
            "raw_user_meta_data": {},
            "raw_app_meta_data": {},
            "deleted_at": now,
        },
        now,
    )
    for identity in user.row["identities"]:
        await connection.execute(
            "update auth.identities set provider_id = $2, identity_data = '{}', updated_at = $3"
            " where id = $1",
            UUID(identity["id"]),
            _obscure(user.id, identity["provider_id"]),
            now,
        )


def merged(current: Mapping[str, Any], updates: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with the updates applied; a null removes its key."""
    removed = {key for key, value in updates.items() if value is None}
    return {key: value for key, value in {**current, **updates}.items() if key not in removed}


async def _insert_identity(
    connection: Connection, new: NewUser, provider: str, now: datetime
) -> None:
    address = {"email": new.email} if provider == "email" else {"phone": new.phone}
    verified = {"email_verified": False, "phone_verified": False}
    data = {**_without_nulls(new.identity_fields), **address, **verified}
    await set_identity(connection, new.id, provider, data, now)


async def _reload(connection: Connection, user_id: UUID) -> User:
    # Triggers of the project may have changed the row, so it is read again.
    user = await find_user(connection, user_id)
    if user is None:
        raise AuthError(500, "unexpected_failure", "Database error loading user")
    return user


def _without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _obscure(user_id: UUID, value: str | None) -> str | None:
    if not value:
        return value
    digest = hashlib.sha256(f"{user_id}{value}".encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _refuse(error: asyncpg.PostgresError, message: str) -> NoReturn:
    """Raise what the database's error means: a refusal, or itself when the database was lost."""
    if isinstance(error, UNREACHABLE):
        raise error
    if isinstance(error, asyncpg.UniqueViolationError):
        known = _DUPLICATES.get(error.constraint_name or "")
        if known is not None:
            raise AuthError(422, *known) from error
    _log.error("%s: the database refused with SQLSTATE %s", message, error.sqlstate)
    raise AuthError(500, "unexpected_failure", message) from error
