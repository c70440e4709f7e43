"""What operators and browsers see."""

import asyncio

import httpx
import pytest

from crm_service.settings import Settings
from tests.support.crm import (
    CUSTOMER_ROW,
    URL,
    ScriptedSupabase,
    assert_problem,
    make_settings,
    rows,
    running_app,
    scripted_app,
    sign_hs256,
)

ID = CUSTOMER_ROW["id"]
AUTH = {"Authorization": f"Bearer {sign_hs256()}"}
ORIGIN = "https://crm.example.com"


async def test_metrics_count_requests_problems_and_database_calls():
    """By route template and code; no ids, no people."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW), rows())
    async with running_app(make_settings(), supabase) as (_, client):
        await client.get(f"/v1/customers/{ID}", headers=AUTH)
        await client.get(f"/v1/customers/{ID}", headers=AUTH)
        await client.get(f"/v1/customers/{ID}")
        await asyncio.sleep(0)  # a request is counted when its answer is out
        response = await client.get("/metrics")
    text = response.text
    assert response.headers["content-type"].startswith("text/plain")
    labels = 'method="GET",route="/v1/customers/{customer_id}",status="200"'
    assert f"crm_request_duration_seconds_count{{{labels}}} 1.0" in text
    assert 'crm_problems_total{code="not-found"} 1.0' in text
    assert 'crm_problems_total{code="token-missing"} 1.0' in text
    assert 'crm_database_call_duration_seconds_count{method="GET",outcome="200"}' in text
    assert "crm_requests_running 1.0" in text
    assert ID not in text


async def test_every_answer_has_security_headers():
    """Refusals too; customers' data is kept by no cache."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    async with scripted_app(supabase) as (_, client):
        for headers in (AUTH, {}):
            answer = (await client.get("/v1/customers", headers=headers)).headers
            assert answer["x-content-type-options"] == "nosniff"
            assert answer["cache-control"] == "no-store"
            assert "default-src 'none'" in answer["content-security-policy"]
            assert "max-age" in answer["strict-transport-security"]
        assert "content-security-policy" not in (await client.get("/docs")).headers
    settings = make_settings(environment="development")
    async with running_app(settings, supabase) as (_, client):
        assert "strict-transport-security" not in (await client.get("/live")).headers


async def test_only_listed_origins_may_call_from_a_browser():
    """Preflight needs no token; refusals can be read by the page."""
    asking = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization, if-match, idempotency-key",
    }
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    async with running_app(make_settings(cors_origins=f"{ORIGIN}/"), supabase) as (_, client):
        path = f"/v1/customers/{ID}"
        allowed = await client.options(path, headers=asking)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == ORIGIN
        refused = await client.options(path, headers={**asking, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in refused.headers
        problem = await client.get(path, headers={"Origin": ORIGIN})
        assert_problem(problem, 401, "token-missing")
        assert problem.headers["access-control-allow-origin"] == ORIGIN
        assert "ETag" in problem.headers["access-control-expose-headers"]


async def test_without_a_list_no_origin_is_allowed():
    """The default."""
    async with scripted_app(ScriptedSupabase(rows())) as (_, client):
        answer = await client.get("/live", headers={"Origin": ORIGIN})
        assert "access-control-allow-origin" not in answer.headers


async def test_a_body_that_pauses_is_given_up():
    """408, and the connection is not held."""

    async def hanging():
        await asyncio.Event().wait()
        yield b"{}"

    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    async with running_app(make_settings(body_pause_s=0.05), supabase) as (app, _):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://crm.test") as client:
            headers = {**AUTH, "Content-Type": "application/json"}
            response = await client.post("/v1/customers", content=hanging(), headers=headers)
    assert_problem(response, 408, "body-too-slow")
    assert supabase.calls == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"cors_origins": "crm.example.com"},
        {"cors_origins": "https://crm.example.com/app"},
        {"rate_limit": "often"},
    ],
)
def test_wrong_settings_are_refused(wrong):
    """At the start, by name."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(_env_file=None, supabase_url=URL, supabase_key="k", **wrong)


async def test_a_body_that_says_it_is_too_large_is_not_read():
    """What it announces is enough."""
    announced = {"Content-Length": str(10**9), "Content-Type": "application/json"}
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW, status=201))
    async with scripted_app(supabase) as (_, client):
        headers = {**AUTH, **announced}
        response = await client.post("/v1/customers", content=b"{}", headers=headers)
    assert_problem(response, 413, "body-too-large")
    assert not supabase.calls
