"""Routes for signing up, signing in, and one's own user."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local_stack.auth.access import SignedIn, caller_of, require_audience, require_user
from local_stack.auth.bodies import Body, parse_email, parse_phone, read_body
from local_stack.auth.errors import (
    AuthError,
    OAuthGrantError,
    validation_failed,
)
from local_stack.auth.grants import grant_by_password, grant_by_refresh_token, grant_to_user
from local_stack.auth.passwords import check_strength
from local_stack.auth.refused import CHANGE_OF_EMAIL, CHANGE_OF_PHONE, GRANTS
from local_stack.auth.services import Services
from local_stack.auth.sessions import LogoutScope, end_sessions
from local_stack.auth.turns import Gone, gone_of
from local_stack.auth.user_writes import insert_user, merged, update_user
from local_stack.auth.users import NewUser


class UserRoutes:
    """Handlers of ``/token``, ``/signup``, ``/user`` and ``/logout``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def token(self, request: Request) -> Response:
        """Answer ``POST /token?grant_type=…``."""
        grant_type = request.query_params.get("grant_type", "")
        if grant_type in GRANTS:
            raise GRANTS[grant_type].refusal()
        if grant_type not in {"password", "refresh_token"}:
            raise AuthError(400, "invalid_credentials", "unsupported_grant_type")
        body = await self._read(request)
        if grant_type == "password":
            return JSONResponse(await self._sign_in(body, request))
        refresh_token = body.text("refresh_token")
        if not refresh_token:
            raise OAuthGrantError("invalid_request", "refresh_token required")
        return JSONResponse(
            await grant_by_refresh_token(self._services, refresh_token, caller_of(request))
        )

    async def sign_up(self, request: Request) -> Response:
        """Answer ``POST /signup``: create a user by e-mail, confirmed at once, and sign them in."""
        body = await self._read(request)
        if not self._services.config.signup_enabled:
            raise AuthError(422, "signup_disabled", "Signups not allowed for this instance")
        email, password = body.text("email"), body.text("password")
        if body.text("phone"):
            raise AuthError(400, "phone_provider_disabled", "Phone signups are disabled")
        if not email and not password:
            raise AuthError(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
        if not password:
            raise validation_failed("Signup requires a valid password")
        check_strength(password, self._services.config.password_min_chars)
        if not email:
            raise validation_failed("An email address is required")
        data = body.json_object("data") or {}
        new = await self._new_user(parse_email(email), password, data, gone_of(request))
        return JSONResponse(await self._create_and_sign_in(new, request))

    async def read_user(self, request: Request) -> Response:
        """Answer ``GET /user``."""
        signed_in = await require_user(self._services, request)
        require_audience(signed_in)
        return JSONResponse(signed_in.user.to_json())

    async def change_user(self, request: Request) -> Response:
        """Answer ``PUT /user``: metadata and password."""
        signed_in = await require_user(self._services, request)
        body = await self._read(request)
        _refuse_address_change(signed_in, body)
        if body.json_object("app_metadata") is not None:
            raise AuthError(403, "not_admin", "Updating app_metadata requires admin privileges")
        changes: dict[str, Any] = {}
        data = body.json_object("data")
        if data is not None:
            changes["raw_user_meta_data"] = merged(signed_in.user.user_metadata, data)
        password = body.text("password")
        if password is not None:
            changes["encrypted_password"] = await self._new_password_hash(
                signed_in, password, gone_of(request)
            )
        return JSONResponse(await self._write_changes(signed_in, changes))

    async def log_out(self, request: Request) -> Response:
        """Answer ``POST /logout?scope=global|local|others``."""
        signed_in = await require_user(self._services, request)
        wanted = request.query_params.get("scope") or LogoutScope.GLOBAL
        try:
            scope = LogoutScope(wanted)
        except ValueError as error:
            raise validation_failed(f'Unsupported logout scope "{wanted}"') from error
        current = None if signed_in.session is None else signed_in.session.id
        async with self._services.transaction() as connection:
            await end_sessions(connection, signed_in.user.id, current, scope)
        return Response(status_code=204)

    async def _read(self, request: Request) -> Body:
        return await read_body(request, self._services.config.max_body_bytes)

    async def _sign_in(self, body: Body, request: Request) -> dict[str, Any]:
        email, phone = body.text("email"), body.text("phone")
        if email and phone:
            raise validation_failed(
                "Only an email address or phone number should be provided on login."
            )
        if not email and not phone:
            raise validation_failed("missing email or phone")
        return await grant_by_password(
            self._services,
            email=email.lower() if email else None,
            phone=parse_phone(phone) if phone else None,
            password=body.text("password") or "",
            caller=caller_of(request),
            gone=gone_of(request),
        )

    async def _new_user(
        self, email: str, password: str, data: dict[str, Any], gone: Gone
    ) -> NewUser:
        user_id = uuid4()
        facts = {"email": email, "phone_verified": False, "sub": str(user_id)}
        return NewUser(
            id=user_id,
            email=email,
            phone=None,
            password_hash=await self._services.passwords.hash(password, gone),
            user_metadata={**data, **facts, "email_verified": True},
            identity_fields=data,
            email_confirmed=True,
        )

    async def _create_and_sign_in(self, new: NewUser, request: Request) -> dict[str, Any]:
        async with self._services.transaction() as connection:
            try:
                user = await insert_user(connection, new, self._services.now())
            except AuthError as error:
                if error.error_code == "email_exists":
                    raise AuthError(
                        422, "user_already_exists", "User already registered"
                    ) from error
                raise
            return await grant_to_user(self._services, connection, user, caller_of(request))

    async def _new_password_hash(self, signed_in: SignedIn, password: str, gone: Gone) -> str:
        check_strength(password, self._services.config.password_min_chars)
        passwords = self._services.passwords
        if await passwords.matches(password, signed_in.user.password_hash, gone):
            raise AuthError(
                422, "same_password", "New password should be different from the old password."
            )
        return await passwords.hash(password, gone)

    async def _write_changes(self, signed_in: SignedIn, changes: dict[str, Any]) -> dict[str, Any]:
        if not changes:
            return signed_in.user.to_json()
        async with self._services.transaction() as connection:
            user = await update_user(connection, signed_in.user.id, changes, self._services.now())
            if "encrypted_password" in changes:
                # Whoever signed in with the old password elsewhere has to do it again.
                current = None if signed_in.session is None else signed_in.session.id
                await end_sessions(connection, user.id, current, LogoutScope.OTHERS)
        return user.to_json()


def _refuse_address_change(signed_in: SignedIn, body: Body) -> None:
    email, phone = body.text("email"), body.text("phone")
    if email and parse_email(email) != signed_in.user.row["email"]:
        raise CHANGE_OF_EMAIL.refusal()
    if phone and parse_phone(phone) != signed_in.user.row["phone"]:
        raise CHANGE_OF_PHONE.refusal()
