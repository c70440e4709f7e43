"""What the fast path serves is what FastAPI would have answered, for every route and bad value."""

import json
from contextlib import asynccontextmanager

import httpx
import pytest

from crm_service import fast_path
from crm_service.app import create_app
from tests.support.crm import (
    CUSTOMER_ROW,
    ScriptedSupabase,
    make_settings,
    refusal,
    rows,
    running_app,
    sign_hs256,
)

ID = CUSTOMER_ROW["id"]
AUTH = {"Authorization": f"Bearer {sign_hs256()}", "Idempotency-Key": "k-1", "X-Request-Id": "r"}
SLOW_ROUTES = {"/metrics", "/v1/events", "/v1/exports/{kind}"}
# Answers without a body are rare; FastAPI gives them.
EMPTY_ROUTES = {"/v1/customers/{customer_id}/typing"}

NO_ROUTES = fast_path.RouteTable({}, {})
PATH_VALUES = {"table": "jobs", "kind": "customers"}
QUERIES = [
    "",
    "limit=2&sort=created_at",
    "limit=0",
    "limit=1&limit=x",
    "limit=x&limit=1",
    "deleted=true",
    "deleted=maybe",
    "status=scheduled&status=completed",
    "status=nonsense",
    "status=",
    f"customer_id={ID}",
    "customer_id=1",
    "q=a%20b+c",
    "q=%00",
    "since=2026-01-01T00:00:00Z&until=yesterday",
    "from=1&to=2",
    "first_day=2026-01-01&last_day=2026-01-31",
    "key_column=no&map=a=name&map=b=email",
    "unknown=1",
]
BODIES = [
    (b"", "application/json"),
    (b"{", "application/json"),
    (b"[]", "application/json"),
    (b"null", "application/json"),
    (b'{"name": "\xff"}', "application/json"),
    (b'{"unknown": 1}', "application/json; charset=utf-8"),
    (b'{"name": "A"}', "text/plain"),
    (b'{"name": "A"}', None),
    (b'{"name": NaN}', "application/json"),
    (b"[" * 5000, "application/json"),
    (b"x" * 5_000_000, "application/json"),
]


QUERIED = {
    "/v1/customers",
    "/v1/jobs",
    "/v1/messages",
    "/v1/activity",
    "/v1/analytics/dashboard",
    "/v1/history/{table}/{row_id}/diff",
}
ODD = [
    ("PUT", f"/v1/customers/{ID}", {}),
    ("OPTIONS", "/v1/customers", {}),
    ("GET", "/v1/customers/", {}),
    ("GET", "//v1/customers", {}),
    ("GET", "/nowhere", {}),
    ("GET", f"/v1/customers/{ID}", {"Idempotency-Key": "a b"}),
    ("PATCH", f"/v1/customers/{ID}", {"If-Match": "x"}),
    (
        "PATCH",
        f"/v1/customers/{ID}",
        {"Content-Type": "application/json", "Content-Encoding": "br"},
    ),
]


@asynccontextmanager
async def two_apps(monkeypatch, *answers):
    """The application as it is, and one that leaves everything to FastAPI."""
    fast, slow = ScriptedSupabase(*answers), ScriptedSupabase(*answers)
    async with running_app(make_settings(), fast) as (_, first):
        await first.get("/live")
        with monkeypatch.context() as patch:
            patch.setattr(fast_path, "find_fast_routes", lambda _: NO_ROUTES)
            async with running_app(make_settings(), slow) as (_, second):
                await second.get("/live")
                yield (first, fast), (second, slow)


async def both(apps, method, path, **kwargs):
    """Send the same to both and compare answers and what reached the database."""
    seen = []
    for client, supabase in apps:
        before = len(supabase.calls)
        answer = await client.request(method, path, **kwargs)
        headers = sorted(answer.headers.multi_items())
        calls = [
            (each.method, str(each.url), each.content, sorted(each.headers.multi_items()))
            for each in supabase.calls[before:]
        ]
        seen.append((answer.status_code, headers, answer.content, calls))
    assert seen[0] == seen[1], (method, path, kwargs)
    return seen[0]


def operations(document):
    """Every operation that is no stream, and the example of its body."""
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items() if path not in SLOW_ROUTES else ():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            # A body that may be left out is described as it or null.
            schema = body["schema"] if body else {}
            refs = [each["$ref"] for each in (schema, *schema.get("anyOf", ())) if "$ref" in each]
            name = refs[0].rpartition("/")[2] if refs else None
            example = schemas[name].get("example", {}) if name else None
            yield method.upper(), path, example


def filled(path, value=ID):
    for name, special in PATH_VALUES.items():
        path = path.replace(f"{{{name}}}", special)
    return "/".join(value if part.startswith("{") else part for part in path.split("/"))


@pytest.fixture(scope="module")
def app():
    return create_app(make_settings())


@pytest.fixture(scope="module")
def every_operation(app):
    return list(operations(app.openapi()))


def test_only_streams_and_empty_answers_are_left_to_the_framework(app):
    """A route that asks for something new must not become slow unnoticed."""
    served = {
        route.path for found in fast_path.find_fast_routes(app).routes.values() for route in found
    }
    assert set(app.openapi()["paths"]) - served == SLOW_ROUTES | EMPTY_ROUTES
    assert len(served) > 40


async def test_every_route_answers_as_the_framework_does(monkeypatch, every_operation):
    """Status, headers, body and what reaches the database, with the example of the route."""
    async with two_apps(monkeypatch, rows(CUSTOMER_ROW)) as apps:
        for answer in (rows(CUSTOMER_ROW), refusal("42501", 403), httpx.ConnectError("down")):
            for _, supabase in apps:
                supabase.answers = [answer]
            for method, path, example in every_operation:
                content = None if example is None else json.dumps(example)
                kind = {"Content-Type": "application/json", "If-Match": '"1"'}
                await both(apps, method, filled(path), headers={**AUTH, **kind}, content=content)


async def test_bad_values_are_refused_as_the_framework_does(monkeypatch, every_operation):
    """Paths, queries, bodies and headers of all kinds."""
    async with two_apps(monkeypatch, rows(CUSTOMER_ROW)) as apps:
        for method, path, _ in every_operation:
            if path in QUERIED and method == "GET":
                for query in QUERIES:
                    await both(apps, method, f"{filled(path)}?{query}", headers=AUTH)
        for value in ("1", "%00", "a%2Fb", ""):
            await both(apps, "GET", f"/v1/customers/{value}", headers=AUTH)
            await both(apps, "GET", f"/v1/history/{value}/{ID}", headers=AUTH)
        for content, kind in BODIES:
            headers = {**AUTH, "Content-Type": kind} if kind else AUTH
            await both(apps, "POST", "/v1/customers", headers=headers, content=content)
        for method, path, headers in ODD:
            content = b'{"name": "A"}' if method == "PATCH" else None
            await both(apps, method, path, headers={**AUTH, **headers}, content=content)


async def test_of_a_header_that_comes_twice_the_first_counts(monkeypatch):
    """As in the framework, so that both serve the same request."""
    twice = [*AUTH.items(), ("Idempotency-Key", "k-2"), ("X-Request-Id", "s")]
    async with two_apps(monkeypatch, rows(CUSTOMER_ROW)) as apps:
        _, headers, _, calls = await both(
            apps, "POST", "/v1/messages", headers=twice, json={"customer_id": ID, "body": "A"}
        )
    assert ("x-request-id", "r") in headers
    assert {dict(sent)["idempotency-key"] for *_, sent in calls} == {"k-1"}
