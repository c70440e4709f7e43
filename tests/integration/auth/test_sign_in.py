"""Signing up and in, and what the tokens say."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import asyncpg
import bcrypt
import httpx
import jwt
import pytest

from tests.integration.auth.auth_api import PASSWORD, AuthApi

EMAIL = "jo@example.com"


def refusal_of(answer: httpx.Response) -> tuple[int, Any, str]:
    """Return status, error code and message of a refusal in the older body shape."""
    body = answer.json()
    assert body["code"] == answer.status_code
    return answer.status_code, body["error_code"], body["msg"]


async def test_sign_in_returns_a_session_with_the_user(auth_api: AuthApi) -> None:
    """A password sign-in answers with both tokens, times and the user."""
    user = await auth_api.add_user(EMAIL, user_metadata={"name": "Jo"})
    session = await auth_api.sign_in("JO@example.com")
    assert session["token_type"] == "bearer"
    assert session["expires_in"] == 3600
    assert session["user"]["id"] == user["id"]
    assert session["user"]["email"] == EMAIL
    assert session["user"]["user_metadata"] == {"name": "Jo", "email_verified": True}
    assert session["user"]["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert session["user"]["last_sign_in_at"].endswith("Z")
    [identity] = session["user"]["identities"]
    assert identity["provider"] == "email"
    assert identity["id"] == identity["user_id"] == user["id"]
    assert identity["identity_data"]["email"] == EMAIL


async def test_access_token_carries_gotrue_claims(auth_api: AuthApi) -> None:
    """The access token has exactly the claims of GoTrue and verifies as our servers verify."""
    user = await auth_api.add_user(EMAIL, app_metadata={"tier": "gold"})
    session = await auth_api.sign_in(EMAIL)
    claims = auth_api.verifier.verify(session["access_token"])
    assert set(claims) == {
        "iss", "sub", "aud", "exp", "iat", "email", "phone", "app_metadata", "user_metadata",
        "role", "aal", "amr", "session_id", "is_anonymous",
    }  # fmt: skip
    assert claims["sub"] == user["id"]
    assert claims["aud"] == claims["role"] == "authenticated"
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["exp"] == session["expires_at"]
    assert claims["app_metadata"]["tier"] == "gold"
    assert claims["aal"] == "aal1"
    assert claims["amr"][0]["method"] == "password"
    assert claims["is_anonymous"] is False
    [row] = await auth_api.rows("select id from auth.sessions")
    assert claims["session_id"] == str(row["id"])


async def test_anyone_can_verify_a_token_with_the_published_keys(auth_api: AuthApi) -> None:
    """The JWKS is open without a key, and holds what PyJWT needs for the token's kid."""
    await auth_api.add_user(EMAIL)
    token = (await auth_api.sign_in(EMAIL))["access_token"]
    answer = await auth_api.http.get(f"{auth_api.url}/auth/v1/.well-known/jwks.json")
    assert answer.status_code == 200
    published = jwt.PyJWKSet.from_dict(answer.json())
    key = published[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, algorithms=["ES256"], audience="authenticated")["email"] == EMAIL
    assert all("d" not in one for one in answer.json()["keys"])


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
async def test_wrong_password_and_unknown_user_are_refused_alike(
    auth_api: AuthApi, email: str
) -> None:
    """A wrong password does not tell whether the user exists."""
    await auth_api.add_user(EMAIL)
    body = {"email": email, "password": "wrong horse"}
    answer = await auth_api.call("POST", "/token?grant_type=password", body)
    assert refusal_of(answer) == (400, "invalid_credentials", "Invalid login credentials")
    assert await auth_api.rows("select from auth.sessions") == []


async def test_newer_clients_get_the_newer_error_body(auth_api: AuthApi) -> None:
    """The API version header selects the error shape and is echoed."""
    body = {"email": EMAIL, "password": "wrong horse"}
    newer = await auth_api.call(
        "POST", "/token?grant_type=password", body,
        headers={"x-supabase-api-version": "2024-01-01"},
    )  # fmt: skip
    assert newer.json() == {"code": "invalid_credentials", "message": "Invalid login credentials"}
    assert newer.headers["x-supabase-api-version"] == "2024-01-01"
    assert newer.headers["x-sb-error-code"] == "invalid_credentials"
    older = await auth_api.call("POST", "/token?grant_type=password", body)
    assert "x-supabase-api-version" not in older.headers
    assert older.headers["x-sb-error-code"] == "invalid_credentials"
    oauth = await auth_api.call("POST", "/token?grant_type=refresh_token", {})
    assert oauth.json()["error"] == "invalid_request"
    assert "x-sb-error-code" not in oauth.headers


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"email_confirm": False}, "email_not_confirmed"),
        ({"ban_duration": "24h"}, "user_banned"),
    ],
)
async def test_unconfirmed_and_banned_users_cannot_sign_in(
    auth_api: AuthApi, given: dict[str, Any], code: str
) -> None:
    """A right password is not enough for users who may not sign in."""
    await auth_api.add_user(EMAIL, **given)
    body = {"email": EMAIL, "password": PASSWORD}
    answer = await auth_api.call("POST", "/token?grant_type=password", body)
    assert refusal_of(answer)[:2] == (400, code)


async def test_sign_up_creates_a_confirmed_user_and_signs_in(auth_api: AuthApi) -> None:
    """Sign-up needs no confirmation locally and answers with a session."""
    body = {"email": "New@Example.com", "password": PASSWORD, "data": {"name": "New"}}
    session = (await auth_api.call("POST", "/signup", body)).json()
    user = session["user"]
    assert user["email"] == "new@example.com"
    assert user["email_confirmed_at"] == user["confirmed_at"]
    assert user["user_metadata"] == {
        "name": "New", "email": "new@example.com", "email_verified": True,
        "phone_verified": False, "sub": user["id"],
    }  # fmt: skip
    assert auth_api.verifier.verify(session["access_token"])["sub"] == user["id"]
    again = await auth_api.call("POST", "/signup", body)
    assert refusal_of(again) == (422, "user_already_exists", "User already registered")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"email": "a@example.com", "password": "short"}, 422, "weak_password"),
        ({"email": "a@example.com", "password": "x" * 73}, 400, "validation_failed"),
        ({"email": "a@example.com"}, 400, "validation_failed"),
        ({"email": "not an address", "password": PASSWORD}, 400, "validation_failed"),
        ({"email": 7, "password": PASSWORD}, 400, "bad_json"),
        ({"email": "a@example.com", "password": PASSWORD, "data": [1]}, 400, "bad_json"),
        ({"email": "a@example.com", "password": PASSWORD, "data": {"a": "\0"}}, 400, "bad_json"),
        ({"phone": "+4915112345678", "password": PASSWORD}, 400, "phone_provider_disabled"),
        ({}, 422, "anonymous_provider_disabled"),
        ([], 400, "bad_json"),
        ("text", 400, "bad_json"),
    ],
)
async def test_bad_sign_ups_are_refused_with_a_reason(
    auth_api: AuthApi, body: Any, status: int, code: str
) -> None:
    """Nothing malformed creates a user or an internal error."""
    answer = await auth_api.call("POST", "/signup", body)
    assert refusal_of(answer)[:2] == (status, code)
    assert await auth_api.rows("select from auth.users") == []


@pytest.mark.parametrize(
    "raw", [b"{", b"\xff", b"[" * 100_000, b"null", b'{"password": "\\ud800"}']
)
async def test_malformed_json_is_refused(auth_api: AuthApi, raw: bytes) -> None:
    """A body that is not a JSON object gets bad_json, not a failure."""
    answer = await auth_api.http.post(
        f"{auth_api.url}/auth/v1/signup", content=raw,
        headers={"apikey": auth_api.keys.publishable},
    )  # fmt: skip
    assert refusal_of(answer)[:2] == (400, "bad_json")


async def test_a_body_over_the_limit_is_refused(auth_api: AuthApi) -> None:
    """A long body gets 413."""
    answer = await auth_api.call("POST", "/signup", {"email": "x" * 1_100_000})
    assert answer.status_code == 413


async def test_unknown_grants_are_refused(auth_api: AuthApi) -> None:
    """A grant that does not exist gets GoTrue's words."""
    unknown = await auth_api.call("POST", "/token?grant_type=magic", {})
    assert refusal_of(unknown) == (400, "invalid_credentials", "unsupported_grant_type")


async def test_a_user_seeded_by_the_project_owner_signs_in(auth_api: AuthApi) -> None:
    """Role postgres may insert users, with the hash prefix that PostgreSQL's crypt writes."""
    user_id = uuid.uuid4()
    connection = await asyncpg.connect(auth_api.database.url)
    try:
        await connection.execute(
            """
            insert into auth.users (
                instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
                confirmation_token, recovery_token, email_change_token_new, email_change,
                raw_app_meta_data, raw_user_meta_data, created_at, updated_at
            ) values (
                '00000000-0000-0000-0000-000000000000', $1, 'authenticated', 'authenticated', $2,
                $3, now(), '', '', '', '', '{"provider": "email", "providers": ["email"]}', '{}',
                now(), now()
            )
            """,
            user_id,
            EMAIL,
            bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, prefix=b"2a")).decode(),
        )
    finally:
        await connection.close()
    assert (await auth_api.sign_in(EMAIL))["user"]["id"] == str(user_id)


async def test_a_seeded_row_that_gotrue_cannot_read_is_reported(
    auth_api: AuthApi, caplog: pytest.LogCaptureFixture
) -> None:
    """Null tokens break a hosted project, so they break here too, and the log names the columns."""
    await auth_api.add_user(EMAIL)
    await auth_api.rows("update auth.users set confirmation_token = null")
    body = {"email": EMAIL, "password": PASSWORD}
    answer = await auth_api.call("POST", "/token?grant_type=password", body)
    assert refusal_of(answer) == (500, "unexpected_failure", "Database error querying schema")
    assert "confirmation_token" in caplog.text


async def test_a_user_with_a_phone_number_signs_in_with_it(auth_api: AuthApi) -> None:
    """A confirmed number works in every spelling; an unconfirmed one, or both at once, do not."""
    body = {"phone": "+49 151 1234567", "password": PASSWORD}
    made = (await auth_api.admin("POST", "/admin/users", body)).json()
    assert made["phone"] == "491511234567"
    path = "/token?grant_type=password"
    early = await auth_api.call("POST", path, body)
    assert refusal_of(early) == (400, "phone_not_confirmed", "Phone not confirmed")
    await auth_api.admin("PUT", f"/admin/users/{made['id']}", {"phone_confirm": True})
    for spelling in ("+491511234567", "491511234567", "+49 151 1234567"):
        answer = await auth_api.call("POST", path, {"phone": spelling, "password": PASSWORD})
        assert answer.json()["user"]["id"] == made["id"]
    both = await auth_api.call("POST", path, {**body, "email": EMAIL})
    assert refusal_of(both)[:2] == (400, "validation_failed")
    neither = await auth_api.call("POST", path, {"password": PASSWORD})
    assert neither.status_code == 400


async def test_sign_ups_at_once_with_one_address_make_one_user(auth_api: AuthApi) -> None:
    """The database decides the race; the losers are told that the user exists."""
    body = {"email": EMAIL, "password": PASSWORD}
    answers = await asyncio.gather(*(auth_api.call("POST", "/signup", body) for _ in range(6)))
    outcomes = sorted(answer.status_code for answer in answers)
    assert outcomes == [200, 422, 422, 422, 422, 422]
    codes = {answer.json().get("error_code") for answer in answers if not answer.is_success}
    assert codes == {"user_already_exists"}
    assert len(await auth_api.rows("select from auth.users")) == 1
    assert len(await auth_api.rows("select from auth.identities")) == 1


async def test_an_unconfirmed_user_cannot_be_taken_over_by_a_sign_up(auth_api: AuthApi) -> None:
    """A sign-up does not set the password of somebody whom an administrator entered."""
    await auth_api.admin("POST", "/admin/users", {"email": EMAIL})
    before = await auth_api.rows("select * from auth.users")
    answer = await auth_api.call("POST", "/signup", {"email": EMAIL, "password": PASSWORD})
    assert refusal_of(answer)[:2] == (422, "user_already_exists")
    assert await auth_api.rows("select * from auth.users") == before


async def test_hashes_of_other_kinds_are_refused(auth_api: AuthApi) -> None:
    """A hash that is not bcrypt is refused when given, and a seeded one never signs in."""
    argon = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"
    answer = await auth_api.admin("POST", "/admin/users", {"email": EMAIL, "password_hash": argon})
    assert refusal_of(answer)[:2] == (400, "validation_failed")
    await auth_api.add_user(EMAIL)
    await auth_api.rows(f"update auth.users set encrypted_password = '{argon}'")
    body = {"email": EMAIL, "password": PASSWORD}
    refused = await auth_api.call("POST", "/token?grant_type=password", body)
    assert refusal_of(refused)[:2] == (400, "invalid_credentials")
