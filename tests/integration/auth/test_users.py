"""One's own user, and the users as administrators see them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.integration.auth.auth_api import PASSWORD, AuthApi

EMAIL = "jo@example.com"
UNKNOWN = "00000000-0000-4000-8000-00000000dead"


async def test_user_shows_and_merges_metadata(auth_api: AuthApi) -> None:
    """PUT /user merges data; a null removes its key; the database has the same."""
    user = await auth_api.add_user(EMAIL, user_metadata={"a": 1, "b": 2})
    bearer = (await auth_api.sign_in(EMAIL))["access_token"]
    answer = await auth_api.call("PUT", "/user", {"data": {"b": None, "c": [3]}}, bearer=bearer)
    wanted = {"a": 1, "c": [3], "email_verified": True}
    assert answer.json()["user_metadata"] == wanted
    shown = (await auth_api.call("GET", "/user", bearer=bearer)).json()
    assert shown["user_metadata"] == wanted
    assert shown["id"] == user["id"]
    assert "encrypted_password" not in shown


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"password": PASSWORD}, 422, "same_password"),
        ({"password": ""}, 422, "weak_password"),
        ({"app_metadata": {"role": "admin"}}, 403, "not_admin"),
        ({"email": "new@example.com"}, 400, "email_address_not_authorized"),
        ({"phone": "+4915112345678"}, 400, "phone_provider_disabled"),
        ({"email": "nonsense"}, 400, "validation_failed"),
        ({"data": "text"}, 400, "bad_json"),
    ],
)
async def test_refused_changes_change_nothing(
    auth_api: AuthApi, body: dict[str, Any], status: int, code: str
) -> None:
    """A refused PUT /user leaves the row as it was."""
    await auth_api.add_user(EMAIL)
    bearer = (await auth_api.sign_in(EMAIL))["access_token"]
    before = await auth_api.rows("select * from auth.users")
    answer = await auth_api.call("PUT", "/user", {"data": {"x": 1}, **body}, bearer=bearer)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert await auth_api.rows("select * from auth.users") == before


async def test_weak_passwords_name_their_reasons(auth_api: AuthApi) -> None:
    """The reasons are where clients look for them."""
    await auth_api.add_user(EMAIL)
    bearer = (await auth_api.sign_in(EMAIL))["access_token"]
    answer = await auth_api.call("PUT", "/user", {"password": "abc"}, bearer=bearer)
    assert answer.json() == {
        "code": 422,
        "error_code": "weak_password",
        "msg": "Password should be at least 6 characters.",
        "weak_password": {"reasons": ["length"]},
    }


async def test_bad_tokens_are_refused_with_gotrue_words(auth_api: AuthApi) -> None:
    """Each way a bearer token can be bad has its own refusal."""
    await auth_api.add_user(EMAIL)
    token = (await auth_api.sign_in(EMAIL))["access_token"]

    async def refusal(bearer: str | None) -> tuple[int, str, str]:
        answer = await auth_api.call("GET", "/user", bearer=bearer, key=auth_api.keys.anon)
        return answer.status_code, answer.json()["error_code"], answer.json()["msg"]

    unverified = "invalid JWT: unable to parse or verify signature, "
    assert await refusal(None) == (
        401, "no_authorization", "This endpoint requires a valid Bearer token",
    )  # fmt: skip
    assert (await refusal(token[:-9] + "AAAAAAAAA"))[:2] == (403, "bad_jwt")
    assert (await refusal("a.b"))[2].startswith(f"{unverified}token is malformed")
    assert await refusal(auth_api.keys.anon) == (
        403, "bad_jwt", "invalid claim: missing sub claim",
    )  # fmt: skip
    gone = auth_api.issuer.issue({"role": "authenticated", "sub": UNKNOWN, "aud": "x"}, 60)
    assert await refusal(gone) == (
        403, "user_not_found", "User from sub claim in JWT does not exist",
    )  # fmt: skip
    auth_api.clock.ahead_s = 3_600
    assert await refusal(token) == (
        403, "bad_jwt", f"{unverified}token has invalid claims: token is expired",
    )  # fmt: skip


async def test_a_token_of_an_ended_session_shows_no_user(auth_api: AuthApi) -> None:
    """After a logout the access token, still valid by time, is refused."""
    await auth_api.add_user(EMAIL)
    bearer = (await auth_api.sign_in(EMAIL))["access_token"]
    await auth_api.call("POST", "/logout", bearer=bearer)
    answer = await auth_api.call("GET", "/user", bearer=bearer)
    assert (answer.status_code, answer.json()["error_code"]) == (403, "session_not_found")


async def test_revoking_a_signing_key_refuses_its_tokens(auth_api: AuthApi) -> None:
    """Rotation keeps old tokens good; revoking their key does not."""
    await auth_api.add_user(EMAIL)
    bearer = (await auth_api.sign_in(EMAIL))["access_token"]
    old = auth_api.keys.current
    assert old is not None
    auth_api.keys.rotate()
    assert (await auth_api.call("GET", "/user", bearer=bearer)).status_code == 200
    auth_api.keys.revoke(old.kid)
    refused = await auth_api.call("GET", "/user", bearer=bearer)
    assert old.kid in refused.json()["msg"]
    fresh = (await auth_api.sign_in(EMAIL))["access_token"]
    assert (await auth_api.call("GET", "/user", bearer=fresh)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_only_the_service_role_administers(auth_api: AuthApi, method: str) -> None:
    """Anonymous and signed-in callers are refused on every admin route."""
    user = await auth_api.add_user(EMAIL)
    token = (await auth_api.sign_in(EMAIL))["access_token"]
    path = "/admin/users" if method == "POST" else f"/admin/users/{user['id']}"
    for bearer in (None, token, auth_api.keys.anon):
        answer = await auth_api.call(method, path, {}, bearer=bearer)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "not_admin")
    assert len(await auth_api.rows("select from auth.users")) == 1


async def test_an_administrator_creates_with_a_given_id_and_reads_it_back(
    auth_api: AuthApi,
) -> None:
    """A created user keeps the id, role and metadata they were given."""
    wanted = str(uuid.uuid4())
    made = await auth_api.add_user(EMAIL, id=wanted, app_metadata={"tier": "gold"})
    assert made["id"] == wanted
    shown = (await auth_api.admin("GET", f"/admin/users/{wanted}")).json()
    assert shown == made
    assert shown["app_metadata"]["tier"] == "gold"


async def test_duplicates_are_refused(auth_api: AuthApi) -> None:
    """An address, number or id belongs to one user."""
    made = await auth_api.add_user(EMAIL, phone="+491511234567", phone_confirm=True)
    for body, code in (
        ({"email": EMAIL.upper()}, "email_exists"),
        ({"phone": "491511234567"}, "phone_exists"),
        ({"email": "b@example.com", "id": made["id"]}, "user_already_exists"),
    ):
        answer = await auth_api.admin("POST", "/admin/users", body)
        assert (answer.status_code, answer.json()["error_code"]) == (422, code)
    assert len(await auth_api.rows("select from auth.users")) == 1


async def test_users_are_listed_in_pages_newest_first(auth_api: AuthApi) -> None:
    """Pages are disjoint, ordered and complete; headers tell the total and the next page."""
    for number in range(5):
        auth_api.clock.ahead_s = number
        await auth_api.add_user(f"user{number}@example.com")
    seen: list[str] = []
    for page in (1, 2, 3):
        answer = await auth_api.admin("GET", f"/admin/users?page={page}&per_page=2")
        seen += [user["email"] for user in answer.json()["users"]]
        assert answer.headers["x-total-count"] == "5"
        assert ('rel="next"' in answer.headers["link"]) == (page < 3)
    assert seen == [f"user{number}@example.com" for number in (4, 3, 2, 1, 0)]
    found = (await auth_api.admin("GET", "/admin/users?filter=user3")).json()
    assert [user["email"] for user in found["users"]] == ["user3@example.com"]
    named = await auth_api.admin(
        "PUT",
        f"/admin/users/{found['users'][0]['id']}",
        {"user_metadata": {"full_name": "Ada Lovelace"}},
    )
    assert named.status_code == 200
    found = (await auth_api.admin("GET", "/admin/users?filter=lovelace")).json()
    assert [user["email"] for user in found["users"]] == ["user3@example.com"]


@pytest.mark.parametrize(
    ("query", "emails", "last_page"),
    [
        ("", "210", 1),
        ("page=0&per_page=0", "210", 1),
        ("page=2&per_page=2", "0", 2),
        ("page=3&per_page=2", "", 2),
        ("page=999999999999999999999&per_page=1", "", 3),
        ("per_page=999999999999", "210", 1),
        ("sort=created_at%20asc", "012", 1),
        ("sort=created_at+desc&per_page=1", "2", 3),
        ("filter=%25", "", 1),
        ("filter=USER1@", "1", 1),
    ],
)
async def test_pages_of_users(auth_api: AuthApi, query: str, emails: str, last_page: int) -> None:
    """Every page is exact, whatever the numbers; wildcards in a filter are plain text."""
    for number in range(3):
        auth_api.clock.ahead_s = number
        await auth_api.add_user(f"user{number}@example.com")
    answer = await auth_api.admin("GET", f"/admin/users?{query}")
    assert answer.status_code == 200
    assert [user["email"][4] for user in answer.json()["users"]] == list(emails)
    assert answer.json()["aud"] == "authenticated"
    assert f"page={last_page}&" in answer.headers["link"].split(", ")[-1]
    assert answer.headers["link"].endswith('rel="last"')


@pytest.mark.parametrize(
    "query",
    ["page=-1", "page=x", "per_page=1.5", "per_page=%D9%A1", "sort=email", "sort=created_at%20up"],
)
async def test_bad_paging_is_refused(auth_api: AuthApi, query: str) -> None:
    """What is no number or no known order gets one clear refusal."""
    answer = await auth_api.admin("GET", f"/admin/users?{query}")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "validation_failed")
    assert answer.json()["msg"].startswith("Bad ")


async def test_an_administrator_changes_a_user(auth_api: AuthApi) -> None:
    """E-mail, password and metadata change; the sign-in follows."""
    user = await auth_api.add_user(EMAIL)
    body = {
        "email": "Changed@example.com", "email_confirm": True, "password": "new password",
        "user_metadata": {"a": 1}, "role": "authenticated",
    }  # fmt: skip
    changed = (await auth_api.admin("PUT", f"/admin/users/{user['id']}", body)).json()
    assert changed["email"] == "changed@example.com"
    assert changed["identities"][0]["email"] == "changed@example.com"
    assert changed["user_metadata"]["a"] == 1
    session = await auth_api.sign_in("changed@example.com", "new password")
    assert session["user"]["id"] == user["id"]


async def test_deleting_a_user_ends_their_sessions(auth_api: AuthApi) -> None:
    """A deleted user is gone with identities, sessions and tokens."""
    user = await auth_api.add_user(EMAIL)
    session = await auth_api.sign_in(EMAIL)
    assert (await auth_api.admin("DELETE", f"/admin/users/{user['id']}")).json() == {}
    for table in ("users", "identities", "sessions", "refresh_tokens"):
        assert await auth_api.rows(f"select from auth.{table}") == []
    assert (await auth_api.refresh(session["refresh_token"])).status_code == 400
    again = await auth_api.admin("DELETE", f"/admin/users/{user['id']}")
    assert (again.status_code, again.json()["error_code"]) == (404, "user_not_found")


async def test_a_soft_deleted_user_is_kept_unrecognisable(auth_api: AuthApi) -> None:
    """A soft delete keeps the row, hides who it was, and frees the address."""
    user = await auth_api.add_user(EMAIL, user_metadata={"name": "Jo"})
    await auth_api.sign_in(EMAIL)
    body = {"should_soft_delete": True}
    assert (await auth_api.admin("DELETE", f"/admin/users/{user['id']}", body)).status_code == 200
    shown = (await auth_api.admin("GET", f"/admin/users/{user['id']}")).json()
    assert shown["deleted_at"]
    assert EMAIL not in str(shown)
    assert "Jo" not in str(shown["user_metadata"])
    assert await auth_api.rows("select from auth.sessions") == []
    await auth_api.add_user(EMAIL)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("nonsense", 404, "validation_failed"), (UNKNOWN, 404, "user_not_found")],
)
async def test_unknown_users_are_not_found(
    auth_api: AuthApi, path: str, status: int, code: str
) -> None:
    """An id that is none, and one that nobody has, are told apart."""
    answer = await auth_api.admin("GET", f"/admin/users/{path}")
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


async def test_a_refusing_trigger_of_the_project_creates_nothing(own_auth_api: AuthApi) -> None:
    """A project's trigger on auth.users that raises rolls the sign-up back with GoTrue's words."""
    await own_auth_api.rows("""
        create function public.refuse() returns trigger language plpgsql as
        $$ begin raise exception 'no'; end $$
    """)
    await own_auth_api.rows("""
        create trigger refuse after insert on auth.users
        for each row execute function public.refuse()
    """)
    answer = await own_auth_api.call("POST", "/signup", {"email": EMAIL, "password": PASSWORD})
    assert (answer.status_code, answer.json()["msg"]) == (500, "Database error saving new user")
    assert await own_auth_api.rows("select from auth.users") == []


async def test_unknown_paths_and_methods_answer_in_json(auth_api: AuthApi) -> None:
    """What GoTrue does not have either is 404 or 405."""
    assert (await auth_api.call("GET", "/nothing")).json()["code"] == 404
    assert (await auth_api.call("DELETE", "/signup")).json()["code"] == 405
