"""Routes for administrators: the users of the project. The service role only."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import bcrypt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local_stack.auth.access import require_admin
from local_stack.auth.bodies import Body, parse_duration_s, parse_email, parse_phone, read_body
from local_stack.auth.errors import AuthError, validation_failed
from local_stack.auth.passwords import check_strength
from local_stack.auth.services import Services
from local_stack.auth.sessions import LogoutScope, end_sessions
from local_stack.auth.turns import Gone, gone_of
from local_stack.auth.user_writes import (
    delete_user,
    insert_user,
    merged,
    set_identity,
    soft_delete_user,
    update_user,
)
from local_stack.auth.users import AUDIENCE, Connection, NewUser, User, find_user, list_users

_DEFAULT_PAGE_USERS = 50
_MAX_PAGE_USERS = 1_000
_MAX_PAGE = 1_000_000


class AdminRoutes:
    """Handlers of ``/admin/users`` and ``/admin/users/{user_id}``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def list(self, request: Request) -> Response:
        """Answer ``GET /admin/users?page=&per_page=&filter=&sort=``."""
        require_admin(self._services, request)
        query = request.query_params
        page = _positive(query.get("page"), 1, _MAX_PAGE)
        per_page = _positive(query.get("per_page"), _DEFAULT_PAGE_USERS, _MAX_PAGE_USERS)
        async with self._services.reading() as connection:
            users, total = await list_users(
                connection,
                offset=(page - 1) * per_page,
                limit=per_page,
                text_filter=query.get("filter", ""),
                ascending=_is_ascending(query.get("sort", "")),
            )
        return JSONResponse(
            {"users": [user.to_json() for user in users], "aud": AUDIENCE},
            headers={
                "X-Total-Count": str(total),
                "Link": _render_links(page, per_page, total),
            },
        )

    async def create(self, request: Request) -> Response:
        """Answer ``POST /admin/users``."""
        require_admin(self._services, request)
        body = await self._read(request)
        email, phone = _addresses(body)
        if email is None and phone is None:
            raise validation_failed("Cannot create a user without either an email or phone")
        now = self._services.now()
        confirmed = body.flag("email_confirm")
        data = body.json_object("user_metadata") or {}
        new = NewUser(
            email=email,
            phone=phone,
            password_hash=await self._password_hash(body, gone_of(request)),
            user_metadata={**data, "email_verified": True} if confirmed else data,
            app_metadata=body.json_object("app_metadata") or {},
            email_confirmed=confirmed,
            phone_confirmed=body.flag("phone_confirm"),
            aud=body.text("aud") or AUDIENCE,
            role=(body.text("role") or AUDIENCE).strip(),
            banned_until=_banned_until(body.text("ban_duration"), now),
        )
        wanted_id = body.text("id")
        if wanted_id:
            new = replace(new, id=_parse_new_id(wanted_id))
        async with self._services.transaction() as connection:
            user = await insert_user(connection, new, now)
        return JSONResponse(user.to_json())

    async def read(self, request: Request) -> Response:
        """Answer ``GET /admin/users/{user_id}``."""
        require_admin(self._services, request)
        async with self._services.reading() as connection:
            return JSONResponse((await _user_of_path(connection, request)).to_json())

    async def change(self, request: Request) -> Response:
        """Answer ``PUT /admin/users/{user_id}``."""
        require_admin(self._services, request)
        body = await self._read(request)
        email, phone = _addresses(body)
        password = body.text("password")
        if password is not None:
            check_strength(password, self._services.config.password_min_chars)
        hashed = None
        if password is not None:
            hashed = await self._services.passwords.hash(password, gone_of(request))
        now = self._services.now()
        async with self._services.transaction() as connection:
            user = await _user_of_path(connection, request)
            changes = _changes_of(user, body, now)
            changes |= {"email": email} if email else {}
            changes |= {"phone": phone} if phone else {}
            changes |= {"encrypted_password": hashed} if hashed else {}
            await _write_identities(connection, user, body, (email, phone), now)
            changed = await update_user(connection, user.id, changes, now)
            if hashed is not None:
                await end_sessions(connection, user.id, None, LogoutScope.GLOBAL)
        return JSONResponse(changed.to_json())

    async def delete(self, request: Request) -> Response:
        """Answer ``DELETE /admin/users/{user_id}``; ``should_soft_delete`` keeps the row."""
        require_admin(self._services, request)
        body = await self._read(request)
        soft = body.flag("should_soft_delete")
        now = self._services.now()
        async with self._services.transaction() as connection:
            user = await _user_of_path(connection, request)
            if not soft:
                await delete_user(connection, user.id)
            elif user.row["deleted_at"] is None:
                await soft_delete_user(connection, user, now)
                await end_sessions(connection, user.id, None, LogoutScope.GLOBAL)
        return JSONResponse({})

    async def _read(self, request: Request) -> Body:
        return await read_body(request, self._services.config.max_body_bytes)

    async def _password_hash(self, body: Body, gone: Gone) -> str:
        password, given_hash = body.text("password"), body.text("password_hash")
        if password and given_hash:
            raise validation_failed("Only a password or a password hash should be provided")
        if given_hash:
            return _checked_hash(given_hash)
        if password:
            check_strength(password, 1)  # administrators may set short passwords, as in GoTrue
        return await self._services.passwords.hash(password or secrets.token_urlsafe(48), gone)


def _changes_of(user: User, body: Body, now: datetime) -> dict[str, Any]:
    """Return the columns an administrator's update sets, addresses and password apart."""
    changes: dict[str, Any] = {}
    metadata = body.json_object("user_metadata") or {}
    if body.flag("email_confirm"):
        changes["email_confirmed_at"] = now
        metadata = {"email_verified": True, **metadata}
    if body.flag("phone_confirm"):
        changes["phone_confirmed_at"] = now
    if metadata:
        changes["raw_user_meta_data"] = merged(user.user_metadata, metadata)
    app_metadata = body.json_object("app_metadata")
    if app_metadata:
        changes["raw_app_meta_data"] = merged(user.app_metadata, app_metadata)
    role = body.text("role")
    if role:
        changes["role"] = role.strip()
    ban = body.text("ban_duration")
    if ban:
        changes["banned_until"] = _banned_until(ban, now)
    return changes


async def _write_identities(
    connection: Connection,
    user: User,
    body: Body,
    addresses: tuple[str | None, str | None],
    now: datetime,
) -> None:
    email, phone = addresses
    if email:
        data = {"email": email, "email_verified": body.flag("email_confirm")}
        await set_identity(connection, user.id, "email", data, now)
    if phone:
        data = {"phone": phone, "phone_verified": body.flag("phone_confirm")}
        await set_identity(connection, user.id, "phone", data, now)


async def _user_of_path(connection: Connection, request: Request) -> User:
    try:
        user_id = UUID(request.path_params["user_id"])
    except ValueError as error:
        raise AuthError(404, "validation_failed", "user_id must be an UUID") from error
    user = await find_user(connection, user_id)
    if user is None:
        raise AuthError(404, "user_not_found", "User not found")
    return user


def _addresses(body: Body) -> tuple[str | None, str | None]:
    email, phone = body.text("email"), body.text("phone")
    return (parse_email(email) if email else None, parse_phone(phone) if phone else None)


def _parse_new_id(value: str) -> UUID:
    try:
        user_id = UUID(value)
    except ValueError as error:
        raise validation_failed("ID must conform to the uuid v4 format") from error
    if not user_id.int:
        raise validation_failed("ID cannot be a nil uuid")
    return user_id


def _checked_hash(value: str) -> str:
    try:
        bcrypt.checkpw(b"", value.encode(errors="replace"))
    except ValueError as error:
        raise validation_failed("password_hash must be a bcrypt hash") from error
    return value


def _banned_until(duration: str | None, now: datetime) -> datetime | None:
    if not duration:
        return None
    seconds = parse_duration_s(duration)
    return now + timedelta(seconds=seconds) if seconds else None


def _positive(value: str | None, default: int, maximum: int) -> int:
    if not value:
        return default
    if not value.isascii() or not value.isdigit():
        raise validation_failed(f"Bad Pagination Parameters: {value!r} is not a whole number")
    number = int(value[:12])
    return min(number, maximum) if number else default


def _is_ascending(sort: str) -> bool:
    field, _, direction = sort.partition(" ")
    if field not in {"", "created_at"} or direction.lower() not in {"", "asc", "desc"}:
        raise validation_failed("Bad Sort Parameters: only created_at asc or desc")
    return direction.lower() == "asc"


def _render_links(page: int, per_page: int, total: int) -> str:
    last = max(1, -(-total // per_page))
    links = [f'</admin/users?page={last}&per_page={per_page}>; rel="last"']
    if page < last:
        links.insert(0, f'</admin/users?page={page + 1}&per_page={per_page}>; rel="next"')
    return ", ".join(links)
