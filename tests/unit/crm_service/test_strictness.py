"""What FastAPI would overlook is refused, on every path: read from the OpenAPI document."""

import pytest

from tests.support.crm import (
    CUSTOMER_ROW,
    ScriptedSupabase,
    assert_problem,
    rows,
    scripted_app,
    sign_hs256,
)

ID = CUSTOMER_ROW["id"]
AUTH = {"Authorization": f"Bearer {sign_hs256()}"}
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
async def service():
    """The application, what reaches its database, and its paths as they are asked for."""
    supabase = ScriptedSupabase(rows(CUSTOMER_ROW))
    async with scripted_app(supabase) as (app, http):
        paths = {
            path.replace("{table}", "jobs").replace("{kind}", "customers"): operations
            for path, operations in app.openapi()["paths"].items()
            if path.startswith("/v1/")
        }
        filled = {
            "/".join(ID if part.startswith("{") else part for part in path.split("/")): operations
            for path, operations in paths.items()
        }
        yield http, supabase, filled


async def test_a_parameter_with_a_typing_mistake_is_named(service):
    """An unfiltered list would look like an answer; what there is, is told."""
    http, supabase, paths = service
    for path, operations in paths.items():
        for method in operations.keys() & METHODS:
            answer = await http.request(method, f"{path}?statuss=scheduled&limitt=", headers=AUTH)
            problem = assert_problem(answer, 422, "invalid-request")
            fields = [error["field"] for error in problem["errors"]]
            assert fields == ["query.statuss", "query.limitt"], (method, path)
    assert supabase.calls == []
    jobs = await http.get("/v1/jobs?status=scheduled&x", headers=AUTH)
    assert "starts_from, status" in jobs.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_a_body_that_is_not_json_is_told_as_that(service, headers):
    """On every operation with a body."""
    http, supabase, paths = service
    seen = 0
    for path, operations in paths.items():
        for method in operations.keys() & METHODS:
            body = operations[method].get("requestBody", {}).get("content", {})
            if "application/json" in body:
                seen += 1
                given = {**AUTH, **headers}
                answer = await http.request(method, path, headers=given, content=b"name=x")
                assert_problem(answer, 415, "unsupported-media-type")
    assert seen > 30
    assert supabase.calls == []


async def test_a_path_names_all_its_methods(service):
    """As documented, for a method it does not have."""
    http, _, paths = service
    for path, operations in paths.items():
        answer = await http.request("TRACE", path, headers=AUTH)
        assert_problem(answer, 405, "no-such-method")
        allowed = answer.headers["allow"].lower().split(", ")
        # A word such as mark-overdue could be an id, too.
        assert set(allowed) >= operations.keys() & METHODS, path
        if path.endswith(("s", ID)):
            assert allowed == sorted(operations.keys() & METHODS), path


async def test_head_is_get_without_the_body(service):
    """RFC 9110, 9.3.2: the same headers, also of a refusal."""
    http, _, _ = service
    for path in (f"/v1/customers/{ID}", "/v1/customers/x", "/v1/jobs?x=1", "/live"):
        headers = {**AUTH, "X-Request-Id": "r"}
        got, head = [await http.request(each, path, headers=headers) for each in ("GET", "HEAD")]
        assert head.status_code == got.status_code
        assert head.headers == got.headers
        assert got.content
        assert not head.content
    assert (await http.head("/v1/events", headers=AUTH)).status_code == 405


@pytest.mark.parametrize("announced", [True, False])
async def test_a_huge_body_that_nobody_asked_for_is_refused(service, announced):
    """Also where nobody reads it; a small one is no hindrance."""
    http, supabase, paths = service

    async def pieces():
        for _ in range(50):
            yield b"x" * 100_000

    huge = b"x" * 5_000_000
    without = [
        (method, path)
        for path, operations in paths.items()
        for method in operations.keys() & METHODS
        if "requestBody" not in operations[method]
    ]
    assert len(without) >= 30
    for method, path in without:
        content = huge if announced else pieces()
        answer = await http.request(method, path, content=content, headers=AUTH)
        assert_problem(answer, 413, "body-too-large")
    assert supabase.calls == []
    small = await http.request("GET", f"/v1/customers/{ID}", content=b"?", headers=AUTH)
    assert small.status_code == 200


async def test_a_body_in_utf_16_is_no_json(service):
    """On every operation with a body (RFC 8259, 8.1)."""
    http, supabase, paths = service
    headers = {**AUTH, "Content-Type": "application/json"}
    for path, operations in paths.items():
        for method in operations.keys() & METHODS:
            if "application/json" in operations[method].get("requestBody", {}).get("content", {}):
                answer = await http.request(
                    method, path, content="{}".encode("utf-16"), headers=headers
                )
                assert_problem(answer, 400, "bad-request")
    assert supabase.calls == []
