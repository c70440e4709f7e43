"""Every operation of the API against every kind of bad request.

The operations are read from the OpenAPI document, so a new endpoint is in the matrix by itself.
Each answer must be a problem that the operation documents, repeat nothing of what was sent, and
leave the activity log, and with it every table, as it was.
"""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import jwt
import pytest
from pydantic import SecretStr

from tests.support.crm import running_app
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
MARK = "l3ak-m4rk"
NAMES = {"name": "gate_code", "kind": "customers", "table": "customers"}
SEEDED = {
    "/v1/customers": OWN,
    "/v1/jobs": "d0000000-0000-4000-8000-000000000001",
    "/v1/invoices": "e0000000-0000-4000-8000-000000000001",
    "/v1/messages": "f0000000-0000-4000-8000-000000000001",
    "/v1/loyalty/award": "10000000-0000-4000-8000-000000000001",
    "/v1/loyalty/bonus": "10000000-0000-4000-8000-000000000001",
    "/v1/loyalty/adjust": "10000000-0000-4000-8000-000000000001",
    "/v1/loyalty/redeem": "10000000-0000-4000-8000-000000000001",
}


@dataclass(frozen=True)
class Operation:
    """One operation, with what a good request would hold."""

    method: str
    template: str
    uuids: tuple[str, ...]
    query: dict[str, dict[str, Any]]
    needed: dict[str, str]
    takes_version: bool
    body: Any
    is_csv: bool
    statuses: frozenset[int]

    @property
    def endless(self) -> bool:
        """Whether the answer to a good request has no end."""
        return self.template == "/v1/events"

    def path(self, **values: str) -> str:
        """Fill in the path; a customer exists, other ids do not."""
        filled = {name: OWN if name == "customer_id" else str(uuid4()) for name in self.uuids}
        return self.template.format_map({**NAMES, **filled, **values})

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def read_operations(document: dict[str, Any]) -> list[Operation]:
    """Return the operations below /v1, with bodies from the document's examples."""
    schemas = document["components"]["schemas"]

    def resolved(schema: dict[str, Any]) -> dict[str, Any]:
        for option in schema.get("anyOf", ()):
            if "$ref" in option:
                schema = option
        return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

    found = []
    for template, methods in document["paths"].items():
        if not template.startswith("/v1/"):
            continue
        for method, operation in methods.items():
            parameters = operation.get("parameters", ())
            content = operation.get("requestBody", {}).get("content", {})
            schema = resolved(content.get("application/json", {}).get("schema", {}))
            if content and "text/csv" not in content:
                assert "example" in schema, f"{method} {template}: no example"
            found.append(
                Operation(
                    method.upper(),
                    template,
                    tuple(
                        p["name"]
                        for p in parameters
                        if p["in"] == "path" and p["schema"].get("format") == "uuid"
                    ),
                    {p["name"]: p["schema"] for p in parameters if p["in"] == "query"},
                    {
                        p["name"]: str(p["schema"].get("minimum", 0))
                        for p in parameters
                        if p["in"] == "query" and p.get("required")
                    },
                    any(p["name"] == "if-match" for p in parameters),
                    schema.get("example"),
                    "text/csv" in content,
                    frozenset(int(status) for status in operation["responses"]),
                )
            )
    return found


@pytest.fixture
def operations(app) -> list[Operation]:
    """All operations."""
    found = read_operations(app.openapi())
    assert len(found) >= 80
    return found


@pytest.fixture
async def matrix(http, stack):
    """Sends requests and collects what is wrong; nothing may have been written in the end."""
    wrong: dict[str, str] = {}

    async def send(operation: Operation, token: str | None, codes: set[str], **request: Any) -> Any:
        path = request.pop("path", None) or operation.path()
        request["params"] = {**operation.needed, **request.get("params", {})}
        headers = {**({"Authorization": f"Bearer {token}"} if token else {})}
        headers |= request.pop("headers", {})
        client = request.pop("client", http)
        response = await client.request(operation.method, path, headers=headers, **request)
        code = response.headers.get("x-problem", "")
        case = f"{operation} {str(request)[:60]}"
        if code not in codes:
            wrong[case] = f"{response.status_code} {code or response.text[:80]}, not {codes}"
        elif response.status_code not in operation.statuses:
            wrong[case] = f"{response.status_code} is not documented"
        elif MARK in response.text or response.json()["type"].rpartition(":")[2] != code:
            wrong[case] = f"leaks or contradicts itself: {response.text[:200]}"
        return response

    connection = await asyncpg.connect(stack.database_url)
    try:
        last = "select coalesce(max(id), 0) from activity_log"
        before = await connection.fetchval(last)
        yield send
        assert wrong == {}
        assert await connection.fetchval(last) == before, "something was written"
    finally:
        await connection.close()


def wrong_values(schema: dict[str, Any]) -> list[str]:
    """Values that a query parameter refuses, whatever it is."""
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    found = [f"{MARK}\x00", "", MARK * 1000]
    if any(option.get("type") == "boolean" for option in options):
        found.append("maybe")
    for option in options:
        if option.get("type") == "integer":
            found += [str(option.get("minimum", 0) - 1), "1" + "0" * 30, "1.5"]
        if option.get("format") == "date-time":
            found += ["2026-01-01", "2026-01-01T00:00:00", "9999-99-99T00:00:00Z"]
    free = all(option.get("type") == "string" and "enum" not in option for option in options)
    if free and not any({"format", "pattern", "minLength"} & option.keys() for option in options):
        found.remove("")
    elif free and not any("format" in option or "minLength" in option for option in options):
        found = [value for value in found if value]
    return found


def good(operation: Operation) -> dict[str, Any]:
    """What a good request would send."""
    return {"json": operation.body} if operation.body is not None else {}


async def test_nobody_gets_in_without_a_token(operations, matrix):
    for operation in operations:
        response = await matrix(operation, None, {"token-missing"}, **good(operation))
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("persona", "code"),
    [(CUSTOMER_A, "staff-only"), (INACTIVE, "staff-inactive"), (UNLINKED, "not-staff")],
    ids=str,
)
async def test_others_than_active_staff_are_told_why(operations, matrix, sign_in, persona, code):
    """Also for reads where row-level security would answer."""
    for operation in operations:
        await matrix(operation, sign_in(persona), {code}, **good(operation))


async def test_expired_sessions_are_asked_to_refresh(operations, matrix, settings, stack, sign_in):
    claims = jwt.decode(sign_in(AGENT), options={"verify_signature": False})
    expired = {**claims, "exp": int(time.time()) - 60}
    token = jwt.encode(expired, stack.keys.jwt_secret, algorithm="HS256")
    secret = SecretStr(stack.keys.jwt_secret)
    async with running_app(settings.model_copy(update={"jwt_secret": secret})) as (_, client):
        for operation in operations:
            await matrix(operation, token, {"token-expired"}, client=client, **good(operation))


async def test_malformed_ids_and_parameters_are_named(operations, matrix, sign_in):
    token = sign_in(ADMIN)
    for operation in operations:
        for name in operation.uuids:
            path = operation.path(**{name: MARK})
            await matrix(operation, token, {"invalid-request"}, path=path, **good(operation))
        for name, schema in operation.query.items():
            for value in wrong_values(schema):
                request = {**good(operation), "params": {name: value}}
                await matrix(operation, token, {"invalid-request"}, **request)
        await matrix(operation, token, {"invalid-request"}, params={"surprise": MARK})
        for tag in (MARK, '"-1"', '"1", "2"') if operation.takes_version else ():
            headers = {"If-Match": tag}
            await matrix(operation, token, {"invalid-request"}, headers=headers, **good(operation))


async def test_unknown_ids_and_future_versions_change_nothing(operations, matrix, sign_in):
    token = sign_in(ADMIN)
    unknown = {"not-found", "unknown-reference"}
    for operation in operations:
        if operation.endless:
            params = {"customer_id": str(uuid4())}
            await matrix(operation, token, {"not-found"}, params=params)
        elif operation.uuids:
            path = operation.path(**{name: str(uuid4()) for name in operation.uuids})
            codes = (
                unknown
                if operation.template != "/v1/loyalty/accounts/{customer_id}"
                else {"not-found"}
            )
            headers = {"If-Match": "*"} if operation.takes_version else {}
            request = copy.deepcopy(good(operation))
            if isinstance(request.get("json"), dict):
                request["json"].pop("version", None)
            await matrix(operation, token, codes, path=path, headers=headers, **request)
        if operation.takes_version and "{name}" not in operation.template:
            headers = {"If-Match": '"999999"'}
            request = copy.deepcopy(good(operation))
            if isinstance(request.get("json"), dict):
                request["json"].pop("version", None)
            codes = unknown | {"stale-version"}
            await matrix(operation, token, codes, headers=headers, **request)


async def test_bodies_of_the_wrong_shape_are_refused(operations, matrix, sign_in):
    """Wrong types, unknown fields, NUL, bad UTF-8, no JSON, 10 MB."""
    token = sign_in(ADMIN)
    refused = {"invalid-request"}
    as_json = {"Content-Type": "application/json"}
    for operation in operations:
        if operation.body is None:
            continue
        for body in ([], MARK, 7, {**operation.body, "surprise": MARK}):
            await matrix(operation, token, refused, json=body)
        for field, value in operation.body.items():
            if operation.template == "/v1/bulk/{kind}" and field == "items":
                continue  # told row by row: test_bulk.py
            for wrong in ({"x": MARK} if not isinstance(value, dict) else 7, [[MARK]]):
                await matrix(operation, token, refused, json={**operation.body, field: wrong})
            for strange in (f"{MARK}\x00", f"{MARK}\ud800", float("nan"), float("inf")):
                if isinstance(value, str | dict):
                    wrong = {MARK: [strange]} if isinstance(value, dict) else strange
                    content = json.dumps({**operation.body, field: wrong})
                    await matrix(operation, token, refused, content=content, headers=as_json)
        headers = as_json
        for content in (b"{", b'{"name": "\xff"}', b"\x00", b'{"a":' * 2000):
            codes = {"invalid-request", "bad-request"}
            await matrix(operation, token, codes, content=content, headers=headers)
        content = b'{"name": "' + b"x" * 10_000_000 + b'"}'
        await matrix(operation, token, {"body-too-large"}, content=content, headers=headers)


async def test_taken_ids_are_refused(operations, matrix, sign_in):
    token, found = sign_in(ADMIN), set()
    for operation in operations:
        if operation.method == "POST" and operation.template in SEEDED:
            found.add(operation.template)
            body = {**operation.body, "id": SEEDED[operation.template]}
            await matrix(operation, token, {"already-exists"}, json=body)
    assert found == set(SEEDED)


async def test_files_with_wrong_columns_are_refused(operations, matrix, sign_in):
    token = sign_in(ADMIN)
    for operation in operations:
        if operation.is_csv:
            for content in (b"", b"a,b\n1,2\n", b"name,name\n1,2\n", b"\xff\xfe", b"name\x00\nA\n"):
                await matrix(
                    operation,
                    token,
                    {"invalid-request"},
                    content=content,
                    headers={"Content-Type": "text/csv", "Idempotency-Key": str(uuid4())},
                )


async def test_an_agent_gets_nowhere_with_what_others_may_do(operations, matrix, sign_in, stack):
    """Each action of managers and admins, on rows where it would be possible."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        rows = await connection.fetchrow(
            "select (select id::text from invoices where status = 'sent' limit 1) as invoice,"
            " (select id::text from jobs j where deleted_at is null and not exists"
            " (select from job_assignments a where a.job_id = j.id) limit 1) as job,"
            " (select customer_id::text from leads where assigned_to = $1 limit 1) as lead,"
            " (select id::text from customers c where not exists"
            " (select from leads l where l.customer_id = c.id) limit 1) as customer",
            AGENT.uid,
        )
    finally:
        await connection.close()
    own, other = {"customer_id": OWN}, MANAGER.uid
    refused = {
        ("POST", "/v1/invoices/{invoice_id}/void"): ({"invoice_id": rows["invoice"]}, None),
        ("POST", "/v1/loyalty/adjust"): ({}, {**own, "points": 5}),
        ("POST", "/v1/jobs/{job_id}/assign"): ({"job_id": rows["job"]}, {"assigned_to": other}),
        ("PATCH", "/v1/customers/{customer_id}/lead"): (
            {"customer_id": rows["lead"]},
            {"assigned_to": other},
        ),
        ("POST", "/v1/customers/{customer_id}/lead"): (
            {"customer_id": rows["customer"]},
            {"assigned_to": other},
        ),
        ("POST", "/v1/calls"): ({}, {**own, "direction": "inbound", "staff_id": other}),
        ("POST", "/v1/staff"): (
            {},
            {"user_id": UNLINKED.uid, "full_name": MARK, "email": "a@b.example"},
        ),
        ("PATCH", "/v1/staff/{user_id}"): ({"user_id": AGENT.uid}, {"role": "admin"}),
        ("POST", "/v1/secrets/reencrypt"): ({}, None),
    }
    token = sign_in(AGENT)
    for operation in operations:
        if (case := refused.pop((operation.method, operation.template), None)) is not None:
            names, body = case
            request = {"json": body} if body is not None else {}
            headers = {"If-Match": "*"} if operation.takes_version else {}
            path = operation.path(**names)
            await matrix(operation, token, {"forbidden"}, path=path, headers=headers, **request)
    assert refused == {}
