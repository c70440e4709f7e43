"""Sensitive fields of customers, through the service and in the real database."""

import base64
import hashlib
import json
import logging
import os
from uuid import uuid4

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from crm_service.client import CrmClient
from crm_service.customers.schemas import CustomerCreate
from crm_service.errors import CrmProblemError
from tests.integration.service.conftest import FIELD_KEY
from tests.support.crm import assert_problem, running_app
from tests.support.personas import ADMIN, AGENT, CUSTOMER_A

PLAIN = "Gate 4711 plain"
SECOND = f"k2:{base64.b64encode(os.urandom(32)).decode()}"


@pytest.fixture(autouse=True)
async def forgotten(stack):
    """Nothing stays that is encrypted with a key that only these tests have."""
    yield
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute("delete from public.customer_secrets where key_id = 'k2'")
    finally:
        await connection.close()


def with_keys(settings, keys):
    """The same service with other keys."""
    return settings.model_copy(update={"field_keys": keys and SecretStr(keys)})


async def refused(call):
    with pytest.raises(CrmProblemError) as caught:
        await call
    return caught.value.status, caught.value.code


async def everything(stack, needle):
    """Names of the tables of the database that hold a text, in whatever column."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        tables = await connection.fetch(
            "select oid::regclass::text as name from pg_class where relkind = 'r' "
            "and relnamespace in ('public'::regnamespace, 'private'::regnamespace)"
        )
        return [
            table["name"]
            for table in tables
            if await connection.fetchval(
                f"select exists (select from {table['name']} t where t::text like $1)",
                f"%{needle}%",
            )
        ]
    finally:
        await connection.close()


async def test_a_value_is_kept_encrypted_and_every_read_is_noted(agent, customer, stack, caplog):
    """No table, log line or history holds it; the timeline says who read it."""
    caplog.set_level(logging.DEBUG)
    made = await agent.put_secret(customer.id, "gate_code", PLAIN, version=0)
    assert (made.name, made.key_id, made.version) == ("gate_code", "k1", 1)
    assert await agent.list_secrets(customer.id) == [made]
    revealed = await agent.reveal_secret(customer.id, "gate_code")
    assert (revealed.value, revealed.version) == (PLAIN, 1)
    assert (await agent.put_secret(customer.id, "gate_code", "other", version=1)).version == 2
    for version in (0, 1):
        call = agent.put_secret(customer.id, "gate_code", "late", version=version)
        assert await refused(call) == (412, "stale-version")
    gone = await agent.delete_secret(customer.id, "gate_code", version=2)
    assert (gone.key_id, gone.version) == (None, 3)
    assert await agent.list_secrets(customer.id) == []
    for call in (
        agent.reveal_secret(customer.id, "gate_code"),
        agent.delete_secret(customer.id, "gate_code"),
        agent.put_secret(uuid4(), "gate_code", "x"),
        agent.list_secrets(uuid4()),
    ):
        assert await refused(call) == (404, "not-found")
    timeline = await agent.get_timeline(customer.id)
    told = [(entry.op, entry.new and entry.new["value"]) for entry in timeline.items[:-1]]
    assert told == [
        ("update", None), ("update", "[encrypted]"), ("read", None), ("insert", "[encrypted]"),
    ]  # fmt: skip
    assert {str(entry.actor) for entry in timeline.items} == {AGENT.uid}
    assert PLAIN not in caplog.text
    assert await everything(stack, PLAIN) == []


async def test_a_keyed_request_leaves_nothing_to_guess_from(http, sign_in, customer, stack):
    """Repeated with its key it has one effect; the stored digest needs the service's key."""
    headers = {"Authorization": f"Bearer {sign_in(AGENT)}", "Idempotency-Key": str(uuid4())}
    url = f"/v1/customers/{customer.id}/secrets/gate_code"
    first = await http.put(url, json={"value": PLAIN}, headers=headers)
    copy = await http.put(url, json={"value": PLAIN}, headers=headers)
    assert copy.headers["Idempotency-Replayed"] == "true"
    assert copy.json() == first.json()
    other = await http.put(url, json={"value": "2"}, headers=headers)
    assert_problem(other, 422, "idempotency-key-reused")
    body = json.dumps({"value": PLAIN}, sort_keys=True).encode()
    guess = hashlib.sha256(f"PUT\n{url}\n\n\n".encode() + body).hexdigest()
    assert await everything(stack, guess) == []


async def test_nobody_reaches_the_values_past_the_service(stack, sign_in, agent, customer):
    """REST gives staff the names and cipher text with a trace; customers get nothing."""
    await agent.put_secret(customer.id, "gate_code", PLAIN)
    one = {"customer_id": str(customer.id), "name": "gate_code"}
    forged = {**one, "value": "plain text"}
    for who, reading, calling in ((AGENT, 200, 200), (CUSTOMER_A, 200, 403)):
        headers = {
            "apikey": stack.keys.publishable,
            "Authorization": f"Bearer {sign_in(who)}",
        }
        async with httpx.AsyncClient(
            base_url=f"{stack.api_url}/rest/v1", headers=headers, trust_env=False
        ) as rest:
            assert (await rest.get("/customer_secrets?select=value")).status_code == 403
            names = await rest.get("/customer_secrets?select=name")
            assert names.status_code == reading
            assert (names.json() == []) == (who is CUSTOMER_A)
            assert (await rest.post("/rpc/read_customer_secret", json=one)).status_code == calling
            assert not (await rest.post("/rpc/set_customer_secret", json=forged)).is_success
            renew = await rest.post("/rpc/customer_secrets_to_renew", json={"key_id": "x"})
            assert renew.status_code == 403
    reads = [e for e in (await agent.get_timeline(customer.id)).items if e.op == "read"]
    assert len(reads) == 1


async def test_keys_are_rotated_and_their_loss_is_told(settings, sign_in, agent, acting, customer):
    """A new key reads the old one's values until they are re-encrypted; admins do that.

    Those of deleted customers, too, who may be restored; beyond that nothing of them is written.
    """
    await agent.put_secret(customer.id, "gate_code", PLAIN)
    gone = await agent.create_customer(CustomerCreate(name="Gone"))
    await agent.put_secret(gone.id, "gate_code", PLAIN)
    await agent.delete_customer(gone.id)
    assert await refused(agent.put_secret(gone.id, "gate_code", "changed")) == (404, "not-found")
    assert await refused(agent.reencrypt_secrets()) == (403, "forbidden")
    for keys, status in (
        (f"{SECOND},{FIELD_KEY}", None),
        (SECOND, None),
        (FIELD_KEY, 501),
        (None, 501),
    ):
        changed = with_keys(settings, keys)
        async with running_app(changed) as (_, http):
            staff, admin = (
                CrmClient("http://crm.test", sign_in(who), http=http) for who in (AGENT, ADMIN)
            )
            if status is not None:
                call = staff.reveal_secret(customer.id, "gate_code")
                assert await refused(call) == (status, "encryption-unavailable")
                continue
            assert (await staff.reveal_secret(customer.id, "gate_code")).value == PLAIN
            done = await admin.reencrypt_secrets()
            assert (done.key_id, done.more) == ("k2", False)
            assert (done.renewed > 0) == (keys != SECOND)
    for one in (customer, gone):
        (listed,) = await agent.list_secrets(one.id)
        assert (listed.key_id, listed.version) == ("k2", 2)
    (listed,) = await agent.list_secrets(customer.id)
    async with running_app(with_keys(settings, None)) as (_, http):
        staff = CrmClient("http://crm.test", sign_in(AGENT), http=http)
        call = staff.put_secret(customer.id, "gate_code", "x")
        assert await refused(call) == (501, "encryption-unavailable")
        assert await staff.list_secrets(customer.id) == [listed]


async def test_a_value_that_does_not_open_holds_up_no_rotation(
    settings, sign_in, agent, customer, stack
):
    """It is named, whatever is the matter with it, and the others are re-encrypted."""
    for name in ("alarm", "gate_code", "locker", "safe"):
        await agent.put_secret(customer.id, name, PLAIN)
    connection = await asyncpg.connect(stack.database_url)
    try:
        # Moved here from another name, changed, and of a key that is lost.
        for name, value in (
            ("alarm", "(select value from public.customer_secrets where {safe})"),
            ("gate_code", "left(value, -4) || 'AAAA'"),
            ("locker", "replace(value, '.' || key_id || '.', '.lost.')"),
        ):
            safe = f"customer_id = '{customer.id}' and name = 'safe'"
            await connection.execute(
                f"update public.customer_secrets set value = {value.format(safe=safe)} "
                f"where customer_id = '{customer.id}' and name = '{name}'"
            )
        async with running_app(with_keys(settings, f"{SECOND},{FIELD_KEY}")) as (_, http):
            admin = CrmClient("http://crm.test", sign_in(ADMIN), http=http)
            done = await admin.reencrypt_secrets()
            named = [one.name for one in done.unreadable if one.customer_id == customer.id]
            assert named == ["alarm", "gate_code", "locker"]
            assert "lost" in done.unreadable[named.index("locker")].detail
            assert (done.renewed > 0, done.more) == (True, False)
            assert (await admin.reveal_secret(customer.id, "safe")).value == PLAIN
            again = await admin.reencrypt_secrets()
            assert (again.renewed, again.more) == (0, False)
            assert again.unreadable == done.unreadable
        stored = await connection.fetch(
            "select name, key_id from public.customer_secrets where customer_id = $1 "
            "and key_id = 'k2'",
            customer.id,
        )
        assert [row["name"] for row in stored] == ["safe"]
    finally:
        await connection.execute(
            "delete from public.customer_secrets where customer_id = $1", customer.id
        )
        await connection.close()
