"""What the auth server tells about itself, and what it says it does not have."""

from __future__ import annotations

import pytest

from local_stack.auth.refused import GRANTS, PATHS
from tests.integration.auth.auth_api import PASSWORD, AuthApi, running_auth_api
from tests.support.cluster import Database

EMAIL = "jo@example.com"
UUID = "00000000-0000-4000-8000-00000000dead"


async def test_health_names_the_server(auth_api: AuthApi) -> None:
    """The health check has GoTrue's fields and needs no database."""
    answer = await auth_api.call("GET", "/health")
    assert answer.status_code == 200
    assert answer.json()["name"] == "GoTrue"
    assert set(answer.json()) == {"version", "name", "description"}


@pytest.mark.parametrize("enabled", [True, False])
async def test_settings_say_what_is_switched_on(bare_database: Database, enabled: bool) -> None:
    """Clients read from /settings which ways of signing in to offer; it tells the truth."""
    async with running_auth_api(bare_database, signup_enabled=enabled) as api:
        settings = (await api.call("GET", "/settings")).json()
        assert settings["disable_signup"] is not enabled
        body = {"email": EMAIL, "password": PASSWORD}
        answer = await api.call("POST", "/signup", body)
        if enabled:
            assert answer.json()["user"]["email_confirmed_at"]
        else:
            assert (answer.status_code, answer.json()["error_code"]) == (422, "signup_disabled")
    assert settings["mailer_autoconfirm"] is True
    assert {name for name, on in settings["external"].items() if on} == {"email"}
    assert settings["saml_enabled"] is False


async def test_the_key_set_may_be_cached_for_ten_minutes(auth_api: AuthApi) -> None:
    """Verifiers may keep the JWKS, and the standby key is in it before it signs."""
    answer = await auth_api.http.get(f"{auth_api.url}/auth/v1/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=600"
    assert answer.headers["content-type"] == "application/json"
    published = {key["kid"] for key in answer.json()["keys"]}
    assert auth_api.keys.rotate().kid in published


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_rest_of_gotrue_is_refused_by_name(auth_api: AuthApi, method: str) -> None:
    """Each missing part says so with GoTrue's code, as 4xx, in both body shapes."""
    for path, missing in PATHS.items():
        real_path = path.replace("{rest:path}", "some/thing").replace("{user_id}", UUID)
        older = await auth_api.call(method, real_path, {})
        assert older.status_code == missing.status, path
        assert older.json()["code"] == missing.status
        assert older.json()["error_code"] == missing.code
        assert older.json()["msg"].startswith(f"{missing.what} is not available in the local stack")
        newer = await auth_api.call(
            method, real_path, {}, headers={"x-supabase-api-version": "2024-01-01"}
        )
        assert newer.json() == {"code": missing.code, "message": older.json()["msg"]}


async def test_missing_grants_are_refused_by_name(auth_api: AuthApi) -> None:
    """Grants of GoTrue that are not here are told apart from unknown ones."""
    for grant, missing in GRANTS.items():
        answer = await auth_api.call("POST", f"/token?grant_type={grant}", {})
        assert answer.status_code == missing.status, grant
        assert answer.json()["error_code"] == missing.code


def test_no_refusal_looks_like_a_lost_connection() -> None:
    """The JavaScript client takes every 5xx for one and drops the message."""
    assert all(400 <= one.status < 500 for one in (*PATHS.values(), *GRANTS.values()))
