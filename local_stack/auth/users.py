"""Users and identities: rows of ``auth.users``, how they are found and how the API shows them.

Writing them is in ``user_writes``.

Functions take a connection of role supabase_auth_admin; the caller owns the transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg

from local_stack.auth.errors import AuthError

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

_log = logging.getLogger("local_stack.auth")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

AUDIENCE = "authenticated"
NO_INSTANCE = UUID(int=0)

_SELECT = """
    select
        u.*,
        coalesce(
            (
                select jsonb_agg(to_jsonb(i) order by i.created_at, i.provider)
                from auth.identities i
                where i.user_id = u.id
            ),
            '[]'
        ) as identities
    from auth.users u
    where u.instance_id = '00000000-0000-0000-0000-000000000000'
"""

# Columns that GoTrue reads as text and cannot read as null.
TOKEN_COLUMNS = (
    "confirmation_token", "recovery_token", "email_change_token_new", "email_change",
    "email_change_token_current", "phone_change", "phone_change_token", "reauthentication_token",
)  # fmt: skip
_NEVER_NULL = (*TOKEN_COLUMNS, "created_at", "updated_at")

_OPTIONAL_FIELDS = (
    "email_confirmed_at", "invited_at", "phone_confirmed_at", "confirmation_sent_at",
    "confirmed_at", "recovery_sent_at", "email_change_sent_at", "phone_change_sent_at",
    "reauthentication_sent_at", "last_sign_in_at", "banned_until", "deleted_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class User:
    """One user as the database has them, with their identities."""

    row: Mapping[str, Any]

    @property
    def id(self) -> UUID:
        """The user's id."""
        return UUID(str(self.row["id"]))

    @property
    def password_hash(self) -> str | None:
        """The bcrypt hash, None when the user has no password."""
        return self.row["encrypted_password"] or None

    @property
    def user_metadata(self) -> dict[str, Any]:
        """What the user may change about themselves."""
        return dict(self.row["raw_user_meta_data"] or {})

    @property
    def app_metadata(self) -> dict[str, Any]:
        """What only administrators change."""
        return dict(self.row["raw_app_meta_data"] or {})

    def is_banned(self, now: datetime) -> bool:
        """Tell whether the user may neither sign in nor refresh."""
        until = self.row["banned_until"]
        return until is not None and now < until

    def to_json(self) -> dict[str, Any]:
        """Return the user object of the API; absent instants are left out."""
        row = self.row
        document: dict[str, Any] = {
            "id": str(row["id"]),
            "aud": row["aud"] or "",
            "role": row["role"] or "",
            "email": row["email"] or "",
            "phone": row["phone"] or "",
        }
        for name in _OPTIONAL_FIELDS:
            if row[name] is not None:
                document[name] = render_instant(row[name])
        if row["email_change"]:
            document["new_email"] = row["email_change"]
        if row["phone_change"]:
            document["new_phone"] = row["phone_change"]
        return {
            **document,
            "app_metadata": self.app_metadata,
            "user_metadata": self.user_metadata,
            "identities": [_identity_to_json(identity) for identity in row["identities"]],
            "created_at": render_instant(row["created_at"]),
            "updated_at": render_instant(row["updated_at"]),
            "is_anonymous": row["is_anonymous"],
        }


@dataclass(frozen=True, slots=True)
class NewUser:
    """What a user is made of.

    Attributes:
        identity_fields: further fields of the identity, a sign-up's data.
        banned_until: instant until which the user cannot sign in.
    """

    email: str | None
    phone: str | None
    password_hash: str
    user_metadata: Mapping[str, Any]
    app_metadata: Mapping[str, Any] = field(default_factory=dict)
    identity_fields: Mapping[str, Any] = field(default_factory=dict)
    email_confirmed: bool = False
    phone_confirmed: bool = False
    id: UUID = field(default_factory=uuid4)
    aud: str = AUDIENCE
    role: str = AUDIENCE
    banned_until: datetime | None = None


def render_instant(value: datetime | str) -> str:
    """Return an instant as RFC 3339 in UTC with ``Z``."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


async def find_user(connection: Connection, user_id: UUID) -> User | None:
    """Return the user with this id, None when there is none."""
    row = await connection.fetchrow(f"{_SELECT} and u.id = $1", user_id)
    return _to_user(row)


async def find_user_to_sign_in(
    connection: Connection, *, email: str | None, phone: str | None
) -> User | None:
    """Return the user with this address or number, None when there is none."""
    if email is not None:
        condition = "lower(u.email) = $1 and u.is_sso_user = false"
    else:
        condition = "u.phone = $1"
    row = await connection.fetchrow(
        f"{_SELECT} and {condition} and u.aud = $2", email if email is not None else phone, AUDIENCE
    )
    return _to_user(row)


async def list_users(
    connection: Connection, *, offset: int, limit: int, text_filter: str, ascending: bool
) -> tuple[list[User], int]:
    """Return one page of users and the number of all, by ``created_at``.

    Args:
        connection: where to read.
        offset: users to skip.
        limit: users at most.
        text_filter: part of the address or of ``full_name``; empty: everyone.
        ascending: oldest first.
    """
    condition = """
        u.instance_id = '00000000-0000-0000-0000-000000000000'
        and u.aud = $1
        and (
            $2 = ''
            or strpos(lower(u.email), lower($2)) > 0
            or strpos(lower(u.raw_user_meta_data ->> 'full_name'), lower($2)) > 0
        )
    """
    total = await connection.fetchval(
        f"select count(*) from auth.users u where {condition}", AUDIENCE, text_filter
    )
    direction = "asc" if ascending else "desc"
    rows = await connection.fetch(
        f"{_SELECT} and {condition} order by u.created_at {direction}, u.id limit $3 offset $4",
        AUDIENCE,
        text_filter,
        limit,
        offset,
    )
    return [user for row in rows if (user := _to_user(row)) is not None], int(total)


def _to_user(row: asyncpg.Record | None) -> User | None:
    if row is None:
        return None
    unreadable = [name for name in _NEVER_NULL if row[name] is None]
    if unreadable:
        _log.error(
            "auth.users row %s has null in %s; GoTrue cannot read such a row. Set the text columns "
            "to '' and the instants to now() in the seed that made it",
            row["id"],
            ", ".join(unreadable),
        )
        raise AuthError(500, "unexpected_failure", "Database error querying schema")
    return User(dict(row))


def _identity_to_json(identity: Mapping[str, Any]) -> dict[str, Any]:
    document = {
        "identity_id": identity["id"],
        "id": identity["provider_id"],
        "user_id": identity["user_id"],
        "identity_data": identity["identity_data"],
        "provider": identity["provider"],
    }
    for name in ("last_sign_in_at", "created_at", "updated_at"):
        if identity[name] is not None:
            document[name] = render_instant(identity[name])
    if identity["email"]:
        document["email"] = identity["email"]
    return document
