"""The unmodified Python clients against the auth server."""

from __future__ import annotations

import pytest
from supabase import AsyncClient, acreate_client
from supabase.lib.client_options import AsyncClientOptions
from supabase_auth.errors import (
    AuthApiError,
    AuthInvalidJwtError,
    AuthWeakPasswordError,
)

from tests.integration.auth.auth_api import PASSWORD, AuthApi

EMAIL = "jo@example.com"


async def client_of(auth_api: AuthApi, key: str | None = None) -> AsyncClient:
    """Return an official client that starts no timers and shares the test's connections."""
    options = AsyncClientOptions(auto_refresh_token=False, httpx_client=auth_api.http)
    return await acreate_client(auth_api.url, key or auth_api.keys.publishable, options)


@pytest.mark.parametrize("kind", ["publishable", "anon"])
async def test_sign_in_user_update_refresh_and_sign_out(auth_api: AuthApi, kind: str) -> None:
    """The everyday life of a client works with both kinds of keys."""
    user = await auth_api.add_user(EMAIL)
    client = await client_of(auth_api, getattr(auth_api.keys, kind))
    signed_in = await client.auth.sign_in_with_password({"email": EMAIL, "password": PASSWORD})
    assert signed_in.user is not None
    assert signed_in.session is not None
    assert signed_in.user.id == user["id"]
    shown = await client.auth.get_user()
    assert shown is not None
    assert shown.user.email == EMAIL
    changed = await client.auth.update_user({"data": {"name": "Jo"}})
    assert changed.user.user_metadata["name"] == "Jo"
    refreshed = await client.auth.refresh_session()
    assert refreshed.session is not None
    assert refreshed.session.refresh_token != signed_in.session.refresh_token
    claims = await client.auth.get_claims()
    assert claims is not None
    assert claims["claims"]["sub"] == user["id"]
    await client.auth.sign_out()
    with pytest.raises(AuthApiError) as refused:
        await client.auth.get_user(refreshed.session.access_token)
    assert refused.value.code == "session_not_found"


async def test_sign_up_returns_user_and_session(auth_api: AuthApi) -> None:
    """The client gets a session from a sign-up, as with confirmations switched off."""
    client = await client_of(auth_api)
    answer = await client.auth.sign_up({"email": EMAIL, "password": PASSWORD})
    assert answer.session is not None
    assert answer.user is not None
    assert answer.user.email == EMAIL
    await client.auth.sign_out()


async def test_errors_arrive_with_code_status_and_message(auth_api: AuthApi) -> None:
    """The client's error objects are filled as by GoTrue."""
    client = await client_of(auth_api)
    with pytest.raises(AuthApiError) as wrong:
        await client.auth.sign_in_with_password({"email": EMAIL, "password": "wrong horse"})
    assert (wrong.value.status, wrong.value.code) == (400, "invalid_credentials")
    assert wrong.value.message == "Invalid login credentials"
    with pytest.raises(AuthWeakPasswordError) as weak:
        await client.auth.sign_up({"email": EMAIL, "password": "abc"})
    assert weak.value.reasons == ["length"]
    with pytest.raises(AuthApiError) as unbuilt:
        await client.auth.sign_in_with_otp({"email": EMAIL})
    assert (unbuilt.value.status, unbuilt.value.code) == (422, "otp_disabled")


@pytest.mark.parametrize("kind", ["secret", "service_role"])
async def test_admin_api_creates_lists_changes_and_deletes(auth_api: AuthApi, kind: str) -> None:
    """The admin half of the client works with both kinds of keys."""
    client = await client_of(auth_api, getattr(auth_api.keys, kind))
    admin = client.auth.admin
    made = (await admin.create_user({"email": EMAIL, "password": PASSWORD})).user
    assert made.email_confirmed_at is None
    changed = (await admin.update_user_by_id(made.id, {"email_confirm": True})).user
    assert changed.email_confirmed_at is not None
    assert [user.id for user in await admin.list_users()] == [made.id]
    assert (await admin.get_user_by_id(made.id)).user.email == EMAIL
    session = await auth_api.sign_in(EMAIL)
    await admin.sign_out(session["access_token"], "global")
    assert (await auth_api.refresh(session["refresh_token"])).status_code == 400
    await admin.delete_user(made.id)
    assert await admin.list_users() == []


async def test_a_publishable_key_may_not_administer(auth_api: AuthApi) -> None:
    """The admin half refuses the key that is in every browser."""
    client = await client_of(auth_api)
    with pytest.raises(AuthApiError) as refused:
        await client.auth.admin.list_users()
    assert (refused.value.status, refused.value.code) == (403, "not_admin")


async def test_a_wrong_key_is_refused_by_the_gateway(auth_api: AuthApi) -> None:
    """A key of another project gets the gateway's message."""
    client = await client_of(auth_api, "sb_publishable_other_project")
    with pytest.raises(AuthApiError, match="Invalid API key") as refused:
        await client.auth.sign_in_with_password({"email": EMAIL, "password": PASSWORD})
    assert refused.value.status == 401


async def test_a_tampered_token_fails_the_clients_own_check(auth_api: AuthApi) -> None:
    """get_claims verifies with our JWKS, and a changed payload does not pass."""
    await auth_api.add_user(EMAIL)
    client = await client_of(auth_api)
    token = (await auth_api.sign_in(EMAIL))["access_token"]
    other = auth_api.issuer.issue({"role": "service_role", "sub": "x"}, 60)
    header, _, signature = token.split(".")
    forged = ".".join((header, other.split(".")[1], signature))
    with pytest.raises(AuthInvalidJwtError):
        await client.auth.get_claims(forged)


async def test_an_expired_session_is_refreshed_on_use(auth_api: AuthApi) -> None:
    """get_session refreshes a session whose access token has run out."""
    auth_api.clock.ahead_s = -3_600
    await auth_api.add_user(EMAIL)
    client = await client_of(auth_api)
    answer = await client.auth.sign_in_with_password({"email": EMAIL, "password": PASSWORD})
    assert answer.session is not None
    auth_api.clock.ahead_s = 0
    refused = await auth_api.call("GET", "/user", bearer=answer.session.access_token)
    assert refused.status_code == 403
    session = await client.auth.get_session()
    assert session is not None
    assert session.access_token != answer.session.access_token
    assert (await client.auth.get_user()) is not None
