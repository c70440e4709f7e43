"""Refresh rotation, reuse detection, and ending sessions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.auth.auth_api import PASSWORD, AuthApi

EMAIL = "jo@example.com"


async def test_refresh_exchanges_the_token_and_keeps_the_session(auth_api: AuthApi) -> None:
    """Each refresh gives a new token of the same session; the old one is marked used."""
    await auth_api.add_user(EMAIL)
    first = await auth_api.sign_in(EMAIL)
    second = (await auth_api.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    claims = [auth_api.verifier.verify(one["access_token"]) for one in (first, second)]
    assert claims[0]["session_id"] == claims[1]["session_id"]
    assert claims[0]["amr"] == claims[1]["amr"]
    rows = await auth_api.rows("select token, revoked, parent from auth.refresh_tokens order by id")
    assert [tuple(row) for row in rows] == [
        (first["refresh_token"], True, None),
        (second["refresh_token"], False, first["refresh_token"]),
    ]


async def test_refresh_sees_changes_of_the_user(auth_api: AuthApi) -> None:
    """Claims are made anew from the database at every refresh."""
    user = await auth_api.add_user(EMAIL)
    session = await auth_api.sign_in(EMAIL)
    await auth_api.admin("PUT", f"/admin/users/{user['id']}", {"app_metadata": {"tier": "gold"}})
    refreshed = (await auth_api.refresh(session["refresh_token"])).json()
    claims = auth_api.verifier.verify(refreshed["access_token"])
    assert claims["app_metadata"] == {
        "provider": "email", "providers": ["email"], "tier": "gold",
    }  # fmt: skip


async def test_a_lost_answer_can_be_asked_for_again(auth_api: AuthApi) -> None:
    """The parent of the active token gets the active token again, however late."""
    await auth_api.add_user(EMAIL)
    first = (await auth_api.sign_in(EMAIL))["refresh_token"]
    second = (await auth_api.refresh(first)).json()["refresh_token"]
    auth_api.clock.ahead_s = 3_000
    again = (await auth_api.refresh(first)).json()
    assert again["refresh_token"] == second
    assert auth_api.verifier.verify(again["access_token"], auth_api.clock())


async def test_a_used_token_is_tolerated_within_the_grace(auth_api: AuthApi) -> None:
    """Within 10 seconds an older token still gets a token that works."""
    await auth_api.add_user(EMAIL)
    first = (await auth_api.sign_in(EMAIL))["refresh_token"]
    second = (await auth_api.refresh(first)).json()["refresh_token"]
    await auth_api.refresh(second)
    auth_api.clock.ahead_s = 9
    tolerated = await auth_api.refresh(first)
    assert tolerated.status_code == 200
    assert (await auth_api.refresh(tolerated.json()["refresh_token"])).status_code == 200


async def test_reuse_after_the_grace_revokes_the_family(auth_api: AuthApi) -> None:
    """A stolen token sent late ends the session for thief and owner, and that is committed."""
    await auth_api.add_user(EMAIL)
    first = (await auth_api.sign_in(EMAIL))["refresh_token"]
    second = (await auth_api.refresh(first)).json()["refresh_token"]
    third = (await auth_api.refresh(second)).json()["refresh_token"]
    auth_api.clock.ahead_s = 11
    stolen = await auth_api.refresh(first)
    assert stolen.status_code == 400
    assert stolen.json()["error_code"] == "refresh_token_already_used"
    assert stolen.json()["msg"] == "Invalid Refresh Token: Already Used"
    rows = await auth_api.rows("select from auth.refresh_tokens where not revoked")
    assert rows == []
    auth_api.clock.ahead_s = 22
    owner = await auth_api.refresh(third)
    assert owner.json()["error_code"] == "refresh_token_already_used"


async def test_reuse_in_one_session_leaves_the_others_alone(auth_api: AuthApi) -> None:
    """Only the family of the reused token is revoked."""
    await auth_api.add_user(EMAIL)
    other = (await auth_api.sign_in(EMAIL))["refresh_token"]
    first = (await auth_api.sign_in(EMAIL))["refresh_token"]
    second = (await auth_api.refresh(first)).json()["refresh_token"]
    await auth_api.refresh(second)
    auth_api.clock.ahead_s = 11
    assert (await auth_api.refresh(first)).status_code == 400
    assert (await auth_api.refresh(other)).status_code == 200


async def test_ten_refreshes_at_once_get_one_token(auth_api: AuthApi) -> None:
    """Clients that do not serialise their refreshes are not logged out."""
    await auth_api.add_user(EMAIL)
    first = (await auth_api.sign_in(EMAIL))["refresh_token"]
    answers = await asyncio.gather(*(auth_api.refresh(first) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


@pytest.mark.parametrize("token", ["nonsense", "", "\u00e9" * 300])
async def test_unknown_refresh_tokens_are_refused(auth_api: AuthApi, token: str) -> None:
    """A token that was never issued gets GoTrue's refusal."""
    answer = await auth_api.refresh(token)
    assert answer.status_code == 400
    if token:
        assert answer.json()["error_code"] == "refresh_token_not_found"
    else:
        assert answer.json() == {
            "error": "invalid_request", "error_description": "refresh_token required",
        }  # fmt: skip


async def test_a_banned_user_cannot_refresh(auth_api: AuthApi) -> None:
    """A ban takes effect at the next refresh, and ends when lifted."""
    user = await auth_api.add_user(EMAIL)
    token = (await auth_api.sign_in(EMAIL))["refresh_token"]
    path = f"/admin/users/{user['id']}"
    await auth_api.admin("PUT", path, {"ban_duration": "1h30m"})
    assert (await auth_api.refresh(token)).json()["error_code"] == "user_banned"
    await auth_api.admin("PUT", path, {"ban_duration": "none"})
    assert (await auth_api.refresh(token)).status_code == 200


@pytest.mark.parametrize(
    ("scope", "left"),
    [("global", set()), ("local", {"other"}), ("others", {"current"}), ("", set())],
)
async def test_logout_scopes(auth_api: AuthApi, scope: str, left: set[str]) -> None:
    """A logout ends the sessions of its scope and no other."""
    await auth_api.add_user(EMAIL)
    sessions = {name: await auth_api.sign_in(EMAIL) for name in ("current", "other")}
    bearer = sessions["current"]["access_token"]
    answer = await auth_api.call("POST", f"/logout?scope={scope}", bearer=bearer)
    assert (answer.status_code, answer.content) == (204, b"")
    alive = {
        name
        for name, session in sessions.items()
        if (await auth_api.call("GET", "/user", bearer=session["access_token"])).is_success
    }
    assert alive == left
    assert {
        name
        for name, session in sessions.items()
        if (await auth_api.refresh(session["refresh_token"])).is_success
    } == left


async def test_an_unknown_logout_scope_is_refused(auth_api: AuthApi) -> None:
    """A scope nobody knows ends nothing."""
    await auth_api.add_user(EMAIL)
    bearer = (await auth_api.sign_in(EMAIL))["access_token"]
    answer = await auth_api.call("POST", "/logout?scope=world", bearer=bearer)
    assert answer.json()["error_code"] == "validation_failed"
    assert (await auth_api.call("GET", "/user", bearer=bearer)).status_code == 200


async def test_a_new_password_ends_the_other_sessions(auth_api: AuthApi) -> None:
    """Changing the password keeps this session and ends the rest."""
    await auth_api.add_user(EMAIL)
    here, elsewhere = await auth_api.sign_in(EMAIL), await auth_api.sign_in(EMAIL)
    changed = await auth_api.call(
        "PUT", "/user", {"password": "another password"}, bearer=here["access_token"]
    )
    assert changed.status_code == 200
    assert (await auth_api.refresh(here["refresh_token"])).status_code == 200
    assert (await auth_api.refresh(elsewhere["refresh_token"])).status_code == 400
    old = {"email": EMAIL, "password": PASSWORD}
    answer: Any = await auth_api.call("POST", "/token?grant_type=password", old)
    assert answer.json()["error_code"] == "invalid_credentials"
    await auth_api.sign_in(EMAIL, "another password")


async def test_secrets_never_reach_the_log(
    auth_api: AuthApi, caplog: pytest.LogCaptureFixture
) -> None:
    """Passwords and tokens do not appear in any log line."""
    caplog.set_level("DEBUG")
    await auth_api.add_user(EMAIL)
    session = await auth_api.sign_in(EMAIL)
    second = (await auth_api.refresh(session["refresh_token"])).json()
    await auth_api.refresh(second["refresh_token"])
    auth_api.clock.ahead_s = 60
    await auth_api.refresh(session["refresh_token"])
    await auth_api.call("GET", "/user", bearer=session["access_token"] + "x")
    secrets = (PASSWORD, session["refresh_token"], session["access_token"], auth_api.keys.secret)
    assert "was used twice" in caplog.text
    assert not [secret for secret in secrets if secret in caplog.text]


async def test_a_session_past_its_end_cannot_be_refreshed(auth_api: AuthApi) -> None:
    """`not_after`, which the project owner may set, ends a session whatever its tokens say."""
    await auth_api.add_user(EMAIL)
    token = (await auth_api.sign_in(EMAIL))["refresh_token"]
    await auth_api.rows("update auth.sessions set not_after = now() - interval '1 second'")
    answer = await auth_api.refresh(token)
    assert answer.json()["error_code"] == "session_expired"
    assert answer.json()["msg"] == "Invalid Refresh Token: Session Expired"


@pytest.mark.parametrize("seconds", [-1, 0])
async def test_an_access_token_ends_to_the_second(auth_api: AuthApi, seconds: int) -> None:
    """A token works until the second before its `exp` and not in that second."""
    await auth_api.add_user(EMAIL)
    session = await auth_api.sign_in(EMAIL)
    auth_api.clock.frozen_at_s = session["expires_at"] + seconds
    answer = await auth_api.call("GET", "/user", bearer=session["access_token"])
    assert answer.status_code == (200 if seconds < 0 else 403)


async def test_the_token_of_an_ended_session_cannot_log_out_others(auth_api: AuthApi) -> None:
    """A stolen token is worth nothing after the logout, not even for a logout."""
    await auth_api.add_user(EMAIL)
    stolen = (await auth_api.sign_in(EMAIL))["access_token"]
    await auth_api.call("POST", "/logout", bearer=stolen)
    kept = await auth_api.sign_in(EMAIL)
    again = await auth_api.call("POST", "/logout?scope=global", bearer=stolen)
    assert (again.status_code, again.json()["error_code"]) == (403, "session_not_found")
    assert (await auth_api.refresh(kept["refresh_token"])).status_code == 200
