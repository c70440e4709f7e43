"""Every endpoint against everybody who is not to use it."""

import time
from uuid import uuid4

import jwt
import pytest

from tests.support.crm import assert_problem
from tests.support.personas import (
    ADMIN,
    AGENT,
    CUSTOMER_A,
    INACTIVE,
    MANAGER,
    UNLINKED,
    customer_id,
)

OWN = customer_id(1)  # belongs to CUSTOMER_A, who may read it through the portal
SOME = str(uuid4())
KIND = "customers"
NAME = "gate_code"
CALLS = [
    ("GET", "/v1/customers", None),
    ("POST", "/v1/customers", {"name": "A"}),
    ("GET", f"/v1/customers/{OWN}", None),
    ("PATCH", f"/v1/customers/{OWN}", {"name": "B", "version": 1}),
    ("GET", "/v1/jobs", None),
    ("POST", "/v1/jobs", {"customer_id": OWN, "title": "A"}),
    ("GET", f"/v1/jobs/{SOME}", None),
    ("PATCH", f"/v1/jobs/{SOME}", {"title": "B", "version": 1}),
    ("POST", f"/v1/jobs/{SOME}/schedule", {"scheduled_start": "2026-12-01T09:00:00Z"}),
    ("POST", f"/v1/jobs/{SOME}/reschedule", {"scheduled_start": "2026-12-01T09:00:00Z"}),
    ("POST", f"/v1/jobs/{SOME}/start", None),
    ("POST", f"/v1/jobs/{SOME}/complete", None),
    ("POST", f"/v1/jobs/{SOME}/cancel", None),
    ("GET", f"/v1/jobs/{SOME}/assignment", None),
    ("POST", f"/v1/jobs/{SOME}/assign", {"assigned_to": SOME}),
    ("POST", f"/v1/jobs/{SOME}/unassign", None),
    ("GET", f"/v1/customers/{OWN}/secrets", None),
    ("PUT", f"/v1/customers/{OWN}/secrets/{NAME}", {"value": "A"}),
    ("DELETE", f"/v1/customers/{OWN}/secrets/{NAME}", None),
    ("POST", f"/v1/customers/{OWN}/secrets/{NAME}/reveal", None),
    ("POST", "/v1/secrets/reencrypt", None),
    ("GET", "/v1/invoices", None),
    (
        "POST",
        "/v1/invoices",
        {"customer_id": OWN, "items": [{"description": "A", "unit_price_cents": 1}]},
    ),
    ("GET", f"/v1/invoices/{SOME}", None),
    ("PATCH", f"/v1/invoices/{SOME}", {"notes": "B", "version": 1}),
    ("POST", f"/v1/invoices/{SOME}/send", None),
    ("POST", f"/v1/invoices/{SOME}/pay", None),
    ("POST", f"/v1/invoices/{SOME}/void", None),
    ("GET", "/v1/messages", None),
    ("POST", "/v1/messages", {"customer_id": OWN, "body": "A"}),
    ("GET", f"/v1/messages/{SOME}", None),
    ("POST", f"/v1/messages/{SOME}/read", None),
    ("GET", "/v1/loyalty/entries", None),
    ("GET", f"/v1/loyalty/entries/{SOME}", None),
    ("GET", f"/v1/loyalty/accounts/{OWN}", None),
    ("POST", "/v1/loyalty/award", {"customer_id": OWN, "points": 1}),
    ("POST", "/v1/loyalty/bonus", {"customer_id": OWN, "points": 1}),
    ("POST", "/v1/loyalty/adjust", {"customer_id": OWN, "points": 1}),
    ("POST", "/v1/loyalty/redeem", {"customer_id": OWN, "points": 1}),
    ("DELETE", f"/v1/customers/{OWN}", None),
    ("GET", f"/v1/customers/{OWN}/timeline", None),
    ("GET", f"/v1/customers/{OWN}/lead", None),
    ("POST", f"/v1/customers/{OWN}/lead", {"score": 1}),
    ("PATCH", f"/v1/customers/{OWN}/lead", {"score": 1, "version": 1}),
    ("POST", f"/v1/customers/{OWN}/lead/convert", None),
    ("GET", f"/v1/customers/{OWN}/lead/notes", None),
    ("POST", f"/v1/customers/{OWN}/lead/notes", {"body": "A"}),
    ("GET", f"/v1/customers/{OWN}/lead/notes/{SOME}", None),
    ("PATCH", f"/v1/customers/{OWN}/lead/notes/{SOME}", {"body": "A", "version": 1}),
    ("GET", "/v1/leads", None),
    ("GET", "/v1/calls", None),
    ("POST", "/v1/calls", {"customer_id": OWN, "direction": "inbound"}),
    ("GET", f"/v1/calls/{SOME}", None),
    ("PATCH", f"/v1/calls/{SOME}", {"notes": "A", "version": 1}),
    ("DELETE", f"/v1/jobs/{SOME}", None),
    ("POST", f"/v1/jobs/{SOME}/move", {"customer_id": OWN}),
    ("DELETE", f"/v1/invoices/{SOME}", None),
    ("POST", f"/v1/invoices/{SOME}/move", {"customer_id": OWN}),
    ("GET", f"/v1/invoices/{SOME}/items", None),
    ("PUT", f"/v1/invoices/{SOME}/items", {"items": [{"description": "A", "unit_price_cents": 1}]}),
    ("POST", f"/v1/invoices/{SOME}/mark-overdue", None),
    ("POST", "/v1/invoices/mark-overdue", None),
    ("DELETE", f"/v1/messages/{SOME}", None),
    ("GET", "/v1/me", None),
    ("GET", "/v1/staff", None),
    ("POST", "/v1/staff", {"user_id": SOME, "full_name": "A", "email": "a@example.com"}),
    ("GET", f"/v1/staff/{SOME}", None),
    ("PATCH", f"/v1/staff/{SOME}", {"full_name": "A", "version": 1}),
    ("GET", f"/v1/history/{KIND}/{SOME}", None),
    ("GET", f"/v1/history/{KIND}/{SOME}/diff?from_version=0", None),
    ("POST", f"/v1/history/{KIND}/{SOME}/restore", {"change_id": 1}),
    ("GET", "/v1/activity", None),
    ("GET", "/v1/analytics/dashboard", None),
    ("GET", "/v1/events", None),
    ("POST", f"/v1/imports/{KIND}", None),
    ("GET", f"/v1/exports/{KIND}", None),
    ("POST", f"/v1/bulk/{KIND}", {"items": [{"name": "A"}]}),
]
EACH_CALL = pytest.mark.parametrize(
    ("method", "path", "body"),
    CALLS,
    ids=[f"{method} {path.replace(SOME, 'id').replace(OWN, 'own')}" for method, path, _ in CALLS],
)


async def counted(rest):
    """How many rows there are that a customer could have added."""
    counts = {}
    for table in ("customers", "jobs", "invoices", "messages", "loyalty_transactions"):
        response = await rest.head(
            f"/{table}",
            params={"customer_id" if table != "customers" else "id": f"eq.{OWN}"},
            headers={"Prefer": "count=exact"},
        )
        counts[table] = response.headers["content-range"]
    return counts


def test_every_endpoint_is_in_the_table(http):
    """A new endpoint must be tried with the wrong callers too."""
    app = http._transport.app
    listed = {
        (method, _shape(path.replace(SOME, "*").replace(OWN, "*").replace(NAME, "*")))
        for method, path, _ in CALLS
    }
    served = {
        (
            method.upper(),
            "/".join("*" if part.startswith("{") else part for part in path.split("/")),
        )
        for path, operations in app.openapi()["paths"].items()
        if path.startswith("/v1/")
        for method in operations
    }
    assert listed == served


def _shape(path):
    kind = path.partition("?")[0]
    for prefix in ("/v1/history/", "/v1/bulk/", "/v1/imports/", "/v1/exports/"):
        kind = kind.replace(prefix + KIND, prefix + "*")
    return kind


@EACH_CALL
async def test_without_a_token_nobody_gets_in(http, method, path, body):
    """401 and how to sign in."""
    response = await http.request(method, path, json=body)
    problem = assert_problem(response, 401, "token-missing")
    assert "Bearer" in problem["detail"]
    assert response.headers["www-authenticate"] == "Bearer"


@EACH_CALL
async def test_a_customers_token_is_sent_to_the_portal(http, sign_in, rest, method, path, body):
    """403, also for reads where row-level security would answer; nothing is written."""
    before = await counted(rest)
    headers = {"Authorization": f"Bearer {sign_in(CUSTOMER_A)}"}
    response = await http.request(method, path, json=body, headers=headers)
    problem = assert_problem(response, 403, "staff-only")
    assert "portal" in problem["detail"]
    assert await counted(rest) == before


@EACH_CALL
@pytest.mark.parametrize(
    ("persona", "code"), [(INACTIVE, "staff-inactive"), (UNLINKED, "not-staff")], ids=str
)
async def test_former_staff_and_strangers_are_refused(
    http, sign_in, persona, code, method, path, body
):
    """A good session is not enough."""
    headers = {"Authorization": f"Bearer {sign_in(persona)}"}
    response = await http.request(method, path, json=body, headers=headers)
    assert_problem(response, 403, code)


@pytest.mark.parametrize("persona", [AGENT, MANAGER, ADMIN], ids=str)
async def test_staff_get_in(http, sign_in, persona):
    """All three roles."""
    headers = {"Authorization": f"Bearer {sign_in(persona)}"}
    assert (await http.get("/v1/customers?limit=1", headers=headers)).status_code == 200


async def test_keys_and_forgeries_are_not_sessions(http, stack, sign_in):
    """API keys, a foreign signature and a cut token are each refused."""
    claims = jwt.decode(sign_in(AGENT), options={"verify_signature": False})
    forged = jwt.encode(claims, "some-other-secret-that-is-long-enough", algorithm="HS256")
    tokens = [
        stack.keys.publishable,
        stack.keys.secret,
        stack.keys.anon,
        stack.keys.service_role,
        forged,
        sign_in(AGENT)[:-5],
    ]
    for token in tokens:
        headers = {"Authorization": f"Bearer {token}"}
        response = await http.get("/v1/customers", headers=headers)
        assert_problem(response, 401, "token-rejected")
        assert token not in response.text


async def test_an_expired_session_is_asked_to_refresh(settings, stack, sign_in):
    """401 with its own type, whichever way the project signs."""
    from pydantic import SecretStr

    from tests.support.crm import running_app

    claims = jwt.decode(sign_in(AGENT), options={"verify_signature": False})
    expired = {**claims, "exp": int(time.time()) - 60}
    token = jwt.encode(expired, stack.keys.jwt_secret, algorithm="HS256")
    with_secret = settings.model_copy(update={"jwt_secret": SecretStr(stack.keys.jwt_secret)})
    async with running_app(with_secret) as (_, client):
        headers = {"Authorization": f"Bearer {token}"}
        response = await client.get("/v1/customers", headers=headers)
        assert_problem(response, 401, "token-expired")


async def test_deactivating_somebody_takes_effect_at_once(http, sign_in, stack):
    """The next read and the next write after the change are refused; the session stays valid."""
    import asyncpg

    headers = {"Authorization": f"Bearer {sign_in(MANAGER)}"}
    calls = [("GET", "/v1/customers", None), ("POST", "/v1/customers", {"name": "Late"})]
    for method, path, body in calls:
        assert (await http.request(method, path, json=body, headers=headers)).is_success
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute(
            "update public.staff set active = false where user_id = $1", MANAGER.uid
        )
        for method, path, body in calls:
            response = await http.request(method, path, json=body, headers=headers)
            assert_problem(response, 403, "staff-inactive")
    finally:
        await connection.execute(
            "update public.staff set active = true where user_id = $1", MANAGER.uid
        )
        await connection.close()


async def test_a_token_of_the_wrong_project_key_is_a_service_problem(settings, sign_in):
    """A service configured with a wrong key says so: it is not the caller's fault."""
    from pydantic import SecretStr

    from tests.support.crm import running_app

    wrong = settings.model_copy(update={"supabase_key": SecretStr("sb_publishable_wrong")})
    async with running_app(wrong) as (_, client):
        headers = {"Authorization": f"Bearer {sign_in(AGENT)}"}
        response = await client.get("/v1/customers", headers=headers)
    problem = assert_problem(response, 503, "database-contract")
    assert "SUPABASE_PUBLISHABLE_KEY" in problem["detail"]


async def test_readiness_against_the_real_stack(http):
    """Ready means PostgREST, schema and keys."""
    assert (await http.get("/ready")).json() == {"status": "ready"}


async def test_a_stack_that_does_not_run_is_503(sign_in):
    """Connection refused: one clear answer with Retry-After."""
    import socket

    from crm_service.settings import Settings
    from tests.support.crm import HS256_SECRET, running_app, sign_hs256

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        settings = Settings(
            _env_file=None, supabase_url=url, supabase_key="k", jwt_secret=HS256_SECRET
        )
        token = sign_hs256(iss=f"{url}/auth/v1")
        async with running_app(settings) as (_, client):
            headers = {"Authorization": f"Bearer {token}"}
            response = await client.get("/v1/customers", headers=headers)
            assert_problem(response, 503, "database-unavailable")
            assert response.headers["retry-after"] == "2"
            assert_problem(await client.get("/ready"), 503, "database-unavailable")
