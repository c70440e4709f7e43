"""Every operation of the API against every kind of bad request; callers: test_bad_callers.py.

The operations are read from the OpenAPI document, so a new endpoint is in the matrix by itself.
Each answer must be a problem that the operation documents and repeat nothing of what was sent, as
must the log; every table must be as it was.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import asyncpg

from tests.support.operations import MARK, OWN, wrong_values
from tests.support.personas import ADMIN, AGENT, MANAGER, customer_id

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
AS_JSON = {"Content-Type": "application/json"}


async def test_malformed_ids_and_parameters_are_named(operations, matrix, sign_in):
    token, refused = sign_in(ADMIN), {"invalid-request"}
    for operation in operations:
        good = operation.good()
        for name in operation.uuids:
            for wrong in (MARK, f"{OWN}0", "%00", "%ff", "';--"):
                path = operation.path(**{name: wrong})
                await matrix(operation, token, refused, path=path, **good)
        for name, schema in operation.query.items():
            for value in wrong_values(schema):
                await matrix(operation, token, refused, **good, params={name: value})
        await matrix(operation, token, refused, params={"surprise": MARK})
        for tag in (MARK, '"-1"', '"1", "2"', 'W/"1"') if operation.takes_version else ():
            await matrix(operation, token, refused, headers={"If-Match": tag}, **good)


async def test_unknown_ids_change_nothing(operations, matrix, sign_in):
    """In the path and in the body; an agent is told the same, but of what admins do."""
    unknown = {"not-found", "unknown-reference"}
    for operation in operations:
        if operation.endless:
            params = {"customer_id": str(uuid4())}
            await matrix(operation, sign_in(ADMIN), {"not-found"}, params=params)
            continue
        references = [name for name in operation.body or () if name.endswith("_id")]
        for name in references if isinstance(operation.body, dict) else ():
            if isinstance(operation.body[name], str):
                body = {**operation.body, name: str(uuid4())}
                await matrix(operation, sign_in(ADMIN), unknown, json=body)
        if not operation.uuids:
            continue
        path = operation.path(**{name: str(uuid4()) for name in operation.uuids})
        headers = {"If-Match": "*"} if operation.takes_version else {}
        request = {**operation.unversioned(), "path": path, "headers": headers}
        await matrix(operation, sign_in(ADMIN), unknown, **request)
        for_admins = operation.template.startswith("/v1/staff") and operation.method != "GET"
        await matrix(operation, sign_in(AGENT), {"forbidden"} if for_admins else unknown, **request)


async def test_future_versions_are_stale(operations, matrix, sign_in, stack):
    """Of rows that are there, by If-Match and in the body: nobody can have seen them."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        row = await connection.fetchrow(
            "select (select id from jobs where deleted_at is null limit 1) as job_id,"
            " (select id from invoices where status = 'draft' and deleted_at is null limit 1)"
            " as invoice_id,"
            " (select id from messages where sender = 'staff' and deleted_at is null limit 1)"
            " as message_id,"
            " (select id from calls limit 1) as call_id, n.customer_id, n.id as note_id,"
            " c.id as row_id, (select min(l.id) from activity_log l where l.row_id = c.id::text)"
            " as change_id"
            " from lead_notes n, customers c where c.id = $1 limit 1",
            OWN,
        )
    finally:
        await connection.close()
    assert row is not None
    rows = {name: str(value) for name, value in row.items()} | {"user_id": AGENT.uid}
    other = {
        "assigned_to": MANAGER.uid,
        "customer_id": customer_id(2),
        "change_id": row["change_id"],
    }
    checked = 0
    for operation in operations:
        if not operation.takes_version or "{name}" in operation.template:
            continue
        path = operation.path(**{name: rows[name] for name in operation.uuids})
        request = operation.unversioned()
        for name in other.keys() & request.get("json", {}).keys():
            request["json"][name] = other[name]
        headers = {"If-Match": '"999999"'}
        stale = {"stale-version"}
        await matrix(operation, sign_in(ADMIN), stale, path=path, headers=headers, **request)
        if "version" in operation.fields:
            body = {**request.get("json", {}), "version": 2**63 - 1}
            await matrix(operation, sign_in(ADMIN), stale, path=path, json=body)
        checked += 1
    assert checked >= 25


async def test_bodies_of_the_wrong_shape_are_refused(operations, matrix, sign_in):
    """Wrong types, unknown fields, at the top and within lists."""
    token, refused = sign_in(ADMIN), {"invalid-request"}
    for operation in operations:
        if operation.body is None:
            continue
        for body in ([], MARK, 7, {**operation.body, "surprise": MARK}):
            await matrix(operation, token, refused, json=body)
        for body in operation.wrong_bodies():
            await matrix(operation, token, refused, json=body)
        for field, value in operation.body.items():
            if operation.template == "/v1/bulk/{kind}" and field == "items":
                continue  # told row by row: test_bulk.py
            others: list[Any] = [{"x": MARK} if not isinstance(value, dict) else 7, [[MARK]]]
            if isinstance(value, list):
                others.append([{**value[0], "surprise": MARK}])
            for wrong in others:
                await matrix(operation, token, refused, json={**operation.body, field: wrong})


async def test_text_that_cannot_be_stored_is_refused(operations, matrix, sign_in):
    """NUL, half characters, NaN; also deep inside."""
    token, refused = sign_in(ADMIN), {"invalid-request"}
    for operation in operations:
        for field, value in (operation.body or {}).items():
            for strange in (f"{MARK}\x00", f"{MARK}\ud800", float("nan"), float("inf")):
                if isinstance(value, str | dict):
                    wrong = {MARK: [strange]} if isinstance(value, dict) else strange
                    content = json.dumps({**operation.body, field: wrong})
                    await matrix(operation, token, refused, content=content, headers=AS_JSON)


async def test_bodies_that_cannot_be_read_are_refused(operations, matrix, sign_in):
    """No JSON, no UTF-8; 10 MB, whether the operation reads a body or not."""
    token = sign_in(ADMIN)
    unread = {"invalid-request", "bad-request"}
    huge = b'{"name": "' + b"x" * 10_000_000 + b'"}'
    for operation in operations:
        if operation.body is not None:
            utf16 = json.dumps(operation.body).encode("utf-16")
            for content in (b"{", b'{"name": "\xff"}', b"\x00", b'{"a":' * 2000, utf16):
                await matrix(operation, token, unread, content=content, headers=AS_JSON)
        if not operation.is_csv:
            await matrix(operation, token, {"body-too-large"}, content=huge, headers=AS_JSON)


async def test_taken_ids_are_refused(operations, matrix, sign_in, stack):
    connection = await asyncpg.connect(stack.database_url)
    try:
        taken = await connection.fetchrow(
            "select n.customer_id::text, n.id::text as note_id, i.id::text as item_id"
            " from lead_notes n, invoice_items i limit 1"
        )
    finally:
        await connection.close()
    assert taken is not None
    token, found, exists = sign_in(ADMIN), set(), {"already-exists"}
    for operation in operations:
        if operation.method != "POST":
            continue
        path = operation.path(
            **({"customer_id": taken["customer_id"]} if operation.uuids == ("customer_id",) else {})
        )
        bodies: list[dict[str, Any]] = []
        match operation.template:
            case "/v1/customers/{customer_id}/lead":
                bodies = [{"score": 99, "source": MARK}]
            case "/v1/customers/{customer_id}/lead/notes":
                bodies = [{**operation.body, "id": taken["note_id"]}]
            case "/v1/staff":
                bodies = [{**operation.body, "user_id": MANAGER.uid}]
            case "/v1/invoices":
                item = {**operation.body["items"][0], "id": taken["item_id"]}
                fresh = {**item, "id": str(uuid4())}
                bodies = [{**operation.body, "items": items} for items in ([item], [fresh, fresh])]
        if operation.template in SEEDED:
            found.add(operation.template)
            bodies.append({**operation.body, "id": SEEDED[operation.template]})
        for body in bodies:
            await matrix(operation, token, exists, path=path, json=body)
    assert found == set(SEEDED)


async def test_files_with_wrong_columns_are_refused(operations, matrix, sign_in):
    """Whatever they are to be, and however the report is to come."""
    token, refused = sign_in(ADMIN), {"invalid-request"}
    files = (b"", b"a,b\n1,2\n", b"name,name\n1,2\n", b"name,Name\n1,2\n", b"name;title\n")
    files += (b"\xff\xfe", b"name\x00\nA\n", "name,title\nA,B\n".encode("utf-16"))
    for operation in operations:
        for kind in ("customers", "leads", "jobs") if operation.is_csv else ():
            for content in files:
                for accept in ("application/json", "text/event-stream", "text/csv"):
                    key = str(uuid4())
                    headers = {"Content-Type": "text/csv", "Idempotency-Key": key, "Accept": accept}
                    path = operation.path(kind=kind)
                    request = {"path": path, "content": content, "headers": headers}
                    await matrix(operation, token, refused, **request)
