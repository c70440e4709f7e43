"""Every operation of the API against every caller who may not call it."""

from __future__ import annotations

import time

import asyncpg
import jwt
import pytest
from pydantic import SecretStr

from tests.support.crm import running_app
from tests.support.operations import MARK, OWN
from tests.support.personas import AGENT, CUSTOMER_A, INACTIVE, MANAGER, UNLINKED


async def test_nobody_gets_in_without_a_token(operations, matrix):
    for operation in operations:
        response = await matrix(operation, None, {"token-missing"}, **operation.good())
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("persona", "code"),
    [(CUSTOMER_A, "staff-only"), (INACTIVE, "staff-inactive"), (UNLINKED, "not-staff")],
    ids=str,
)
async def test_others_than_active_staff_are_told_why(operations, matrix, sign_in, persona, code):
    """Also for reads where row-level security would answer."""
    for operation in operations:
        await matrix(operation, sign_in(persona), {code}, **operation.good())


async def test_tokens_that_are_over_or_none_are_told_apart(
    operations, matrix, settings, stack, sign_in
):
    """Expired asks to refresh; another's signature, audience or issuer, to sign in."""
    claims = jwt.decode(sign_in(AGENT), options={"verify_signature": False})
    secret = stack.keys.jwt_secret
    changed = {
        "token-expired": {"exp": int(time.time()) - 60},
        "token-rejected": {"aud": "others"},
    }
    tokens = {
        jwt.encode({**claims, **change}, secret, algorithm="HS256"): code
        for code, change in changed.items()
    }
    for wrong in (
        jwt.encode({**claims, "iss": "https://elsewhere.example"}, secret, algorithm="HS256"),
        jwt.encode(claims, "another-secret-with-as-many-bytes", algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
        f"{sign_in(AGENT)[:-8]}AAAAAAAA",
        MARK,
    ):
        tokens[wrong] = "token-rejected"
    known = settings.model_copy(update={"jwt_secret": SecretStr(secret)})
    async with running_app(known) as (_, client):
        for operation in operations:
            for token, code in tokens.items():
                await matrix(operation, token, {code}, client=client, **operation.good())


async def test_an_agent_gets_nowhere_with_what_others_may_do(operations, matrix, sign_in, stack):
    """Each action of managers and admins, on rows where it would be possible."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        rows = await connection.fetchrow(
            "select (select id::text from invoices where status = 'sent' limit 1) as invoice,"
            " (select id::text from jobs j where deleted_at is null and not exists"
            " (select from job_assignments a where a.job_id = j.id) limit 1) as job,"
            " (select id::text from jobs where status = 'completed' and deleted_at is null limit 1)"
            " as done,"
            " (select job_id::text from job_assignments where assigned_to = $2 limit 1) as taken,"
            " (select customer_id::text from leads where assigned_to = $1 limit 1) as lead,"
            " (select customer_id::text from leads where assigned_to = $2 limit 1) as their_lead,"
            " (select id::text from calls where staff_id = $2 limit 1) as their_call,"
            " (select id::text from customers c where not exists"
            " (select from leads l where l.customer_id = c.id) limit 1) as customer",
            AGENT.uid,
            MANAGER.uid,
        )
    finally:
        await connection.close()
    assert rows is not None
    own, other = {"customer_id": OWN}, MANAGER.uid
    theirs = {"customer_id": rows["their_lead"]}
    person = {"user_id": UNLINKED.uid, "full_name": MARK, "email": "a@b.example"}
    lead, notes = "/v1/customers/{customer_id}/lead", "/v1/customers/{customer_id}/lead/notes"
    jobs, forbidden, unseen = "/v1/jobs/{job_id}", "forbidden", "not-found"
    refused = [
        (
            "POST",
            "/v1/invoices/{invoice_id}/void",
            {"invoice_id": rows["invoice"]},
            None,
            forbidden,
        ),
        ("POST", "/v1/loyalty/adjust", {}, {**own, "points": 5}, forbidden),
        ("POST", f"{jobs}/assign", {"job_id": rows["job"]}, {"assigned_to": other}, forbidden),
        (
            "POST",
            f"{jobs}/assign",
            {"job_id": rows["taken"]},
            {"assigned_to": AGENT.uid},
            forbidden,
        ),
        ("POST", f"{jobs}/unassign", {"job_id": rows["taken"]}, None, forbidden),
        ("POST", f"{jobs}/start", {"job_id": rows["done"]}, None, forbidden),
        ("PATCH", lead, {"customer_id": rows["lead"]}, {"assigned_to": other}, forbidden),
        ("POST", lead, {"customer_id": rows["customer"]}, {"assigned_to": other}, forbidden),
        ("GET", lead, theirs, None, unseen),
        ("PATCH", lead, theirs, {"score": 1}, unseen),
        ("POST", f"{lead}/convert", theirs, None, unseen),
        ("GET", notes, theirs, None, unseen),
        ("POST", notes, theirs, {"body": MARK}, unseen),
        ("POST", "/v1/calls", {}, {**own, "direction": "inbound", "staff_id": other}, forbidden),
        (
            "PATCH",
            "/v1/calls/{call_id}",
            {"call_id": rows["their_call"]},
            {"notes": "?"},
            forbidden,
        ),
        ("POST", "/v1/staff", {}, person, forbidden),
        ("PATCH", "/v1/staff/{user_id}", {"user_id": AGENT.uid}, {"role": "admin"}, forbidden),
        ("PATCH", "/v1/staff/{user_id}", {"user_id": INACTIVE.uid}, {"active": True}, forbidden),
        ("POST", "/v1/secrets/reencrypt", {}, None, forbidden),
    ]
    known = {(operation.method, operation.template): operation for operation in operations}
    for method, template, names, body, code in refused:
        operation = known[method, template]
        request = {"json": body} if body is not None else {}
        headers = {"If-Match": "*"} if operation.takes_version else {}
        path = operation.path(**names)
        await matrix(operation, sign_in(AGENT), {code}, path=path, headers=headers, **request)
    staff = known["POST", "/v1/staff"]
    await matrix(staff, sign_in(MANAGER), {forbidden}, json=person)
