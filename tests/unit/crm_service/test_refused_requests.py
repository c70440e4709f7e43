"""The whole application against a scripted Supabase: what is refused before it is asked."""

from uuid import uuid4

import pytest

from crm_service.admission import RateLimiter
from crm_service.errors import RateLimitedError
from tests.support.crm import (
    AUTH,
    CUSTOMER_ROW,
    ScriptedSupabase,
    ask,
    assert_problem,
    make_settings,
    rows,
    running_app,
    scripted_app,
    sign_hs256,
)

ID = CUSTOMER_ROW["id"]


@pytest.mark.parametrize(
    ("method", "path", "kwargs", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "no-such-path"),
        ("GET", "/v1/customers/", {}, 404, "no-such-path"),
        ("PUT", f"/v1/customers/{ID}", {}, 405, "no-such-method"),
        ("GET", "/v1/customers/not-a-uuid", {}, 422, "invalid-request"),
        ("GET", "/v1/customers?limit=0", {}, 422, "invalid-request"),
        ("GET", "/v1/customers?cursor=zzz", {}, 422, "invalid-request"),
        ("GET", "/v1/activity?since=0.5", {}, 422, "invalid-request"),
        ("GET", "/v1/invoices?due_from=20261201", {}, 422, "invalid-request"),
        ("GET", "/v1/analytics/dashboard?last_day=0", {}, 422, "invalid-request"),
        ("GET", "/v1/activity?table=jobs&table=calls", {}, 422, "invalid-request"),
        ("GET", "/v1/invoices/mark-overdue", {}, 405, "no-such-method"),
        ("PATCH", "/v1/invoices/mark-overdue", {"json": {}}, 405, "no-such-method"),
        ("POST", "/v1/customers", {"content": b"{"}, 422, "invalid-request"),
        ("POST", "/v1/customers", {"content": b'{"name": "\xff"}'}, 400, "bad-request"),
        (
            "POST",
            "/v1/customers",
            {"content": '{"name": "A"}'.encode("utf-16")},
            400,
            "bad-request",
        ),
        (
            "POST",
            "/v1/customers",
            {"content": '{"name": "A"}'.encode("utf-32-le")},
            400,
            "bad-request",
        ),
        ("POST", "/v1/customers", {"content": b'{"name": "\\ud800"}'}, 422, "invalid-request"),
        ("POST", "/v1/customers", {"content": b'{"name": "a\\u0000"}'}, 422, "invalid-request"),
        ("POST", "/v1/customers", {"json": []}, 422, "invalid-request"),
        ("POST", "/v1/customers", {"content": b"x" * 5_000_000}, 413, "body-too-large"),
        ("PATCH", f"/v1/customers/{ID}", {"json": {"name": "B"}}, 428, "version-required"),
    ],
)
async def test_bad_requests_never_reach_the_database(method, path, kwargs, status, code):
    """Each has its status and its type."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    headers = {"Content-Type": "application/json"} if "content" in kwargs else {}
    response = await ask(supabase, method, path, headers=headers, **kwargs)
    assert_problem(response, status, code)
    assert supabase.calls == []


@pytest.mark.parametrize("content", [b"{", b'{"name": "A"}', b"x" * 5_000_000])
async def test_without_a_token_the_body_is_not_even_read(content):
    """Malformed, good or huge: the answer is the same."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    async with scripted_app(supabase) as (_, client):
        headers = {"Content-Type": "application/json"}
        response = await client.post("/v1/customers", content=content, headers=headers)
    assert_problem(response, 401, "token-missing")


async def test_one_user_cannot_flood_the_service():
    """429 with Retry-After, for that user alone."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    other = {"Authorization": f"Bearer {sign_hs256(sub=ID)}"}
    async with running_app(make_settings(rate_limit="3/hour"), supabase) as (_, client):
        answers = [await client.get("/v1/customers", headers=AUTH) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert_problem(answers[-1], 429, "rate-limited")
        assert int(answers[-1].headers["retry-after"]) > 0
        assert (await client.get("/v1/customers", headers=other)).status_code == 200


def test_a_large_limit_is_kept_to_the_request():
    """Requests are counted some at a time, the last ones one by one."""
    limiter, users = RateLimiter("255/hour"), [uuid4(), uuid4()]
    for user in users * 255:
        limiter.admit(user)
    for user in users:
        with pytest.raises(RateLimitedError):
            limiter.admit(user)


async def test_wrong_values_are_not_repeated():
    """The answer names the field, never what was in it."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    body = {"name": "Ada", "email": "secret-value"}
    response = await ask(supabase, "POST", "/v1/customers", json=body)
    problem = assert_problem(response, 422, "invalid-request")
    assert [error["field"] for error in problem["errors"]] == ["body.email"]
    assert "secret-value" not in response.text


@pytest.mark.parametrize(
    ("method", "target", "body", "field", "message"),
    [
        ("POST", "/v1/customers", {"name": " "}, "body.name", "must not be blank"),
        ("GET", "/v1/customers?branch=%00", None, "query.branch", "must not contain the NUL char"),
        ("GET", "/v1/staff?sort=email", None, "query.sort", "must be one of created_at, -created"),
        ("GET", "/v1/jobs?assigned_to=bob", None, "query.assigned_to", "Input should be a valid U"),
        ("GET", "/v1/jobs?status=gone", None, "query.status.0", "Input should be 'requested', "),
    ],
)
async def test_what_is_wrong_is_told_in_words(method, target, body, field, message):
    """No pattern, and no kind of value behind the name of the field."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    response = await ask(supabase, method, target, **({"json": body} if body else {}))
    problem = assert_problem(response, 422, "invalid-request")
    assert {error["field"] for error in problem["errors"]} == {field}
    assert problem["errors"][0]["message"].startswith(message)
