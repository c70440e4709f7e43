"""Linking a portal login to a customer: one token, once, in time, for one user."""

from __future__ import annotations

import asyncio
import hashlib

import asyncpg
import pytest

from tests.database.callers import Connection, call, connect, refusal
from tests.support.cluster import Database
from tests.support.personas import UNLINKED, Persona, customer_id

FREE = customer_id(60)  # no portal login in the seed
CREATE = "select create_portal_invite($1)"
REDEEM = "select redeem_portal_invite($1)"
OTHER_UID = "b0000000-0000-4000-8000-000000000998"
OTHER = Persona("other", "authenticated", OTHER_UID, "other@example.com")


@pytest.fixture
async def two_users(db: Connection) -> None:
    await db.execute(
        "insert into auth.users (id, aud, role, email) "
        "values ($1, 'authenticated', 'authenticated', 'other@example.com')",
        OTHER_UID,
    )


async def test_a_token_links_the_user_once_and_repeating_it_is_harmless(db: Connection) -> None:
    token = (await call(db, "agent", CREATE, FREE))["token"]
    assert str(await call(db, UNLINKED, REDEEM, token)) == FREE
    version = await db.fetchval("select version from customers where id = $1", FREE)
    assert str(await call(db, UNLINKED, REDEEM, token)) == FREE
    assert await db.fetchval("select version from customers where id = $1", FREE) == version
    seen = await call(db, UNLINKED, "select array_agg(id::text) from customers")
    assert seen == [FREE]


async def test_the_token_is_kept_as_a_hash_only(db: Connection) -> None:
    token = (await call(db, "agent", CREATE, FREE))["token"]
    assert len(token) == 64
    stored = await db.fetchval("select token_hash from private.portal_invites")
    assert stored == hashlib.sha256(token.encode()).digest()
    logged = await db.fetch("select * from activity_log where table_name = 'portal_invites'")
    assert len(logged) == 1
    assert token not in str(logged)
    assert stored.hex() not in str(logged)


@pytest.mark.usefixtures("two_users")
async def test_a_used_replaced_or_expired_token_is_gone(db: Connection) -> None:
    first = (await call(db, "agent", CREATE, FREE))["token"]
    second = (await call(db, "agent", CREATE, FREE))["token"]
    gone = ("PT410", "this invite is no longer valid")
    assert await refusal(db, OTHER, REDEEM, first) == gone
    await db.execute("update private.portal_invites set expires_at = now()")
    assert await refusal(db, OTHER, REDEEM, second) == gone
    third = (await call(db, "agent", CREATE, FREE))["token"]
    await call(db, UNLINKED, REDEEM, third)
    assert await refusal(db, OTHER, REDEEM, third) == gone
    await call(db, "manager", "select unlink_portal_user($1)", FREE)
    assert await refusal(db, UNLINKED, REDEEM, third) == gone
    assert await db.fetchval("select portal_user_id from customers where id = $1", FREE) is None


async def test_two_users_racing_for_one_token_give_one_link(database: Database) -> None:
    connections = [await connect(database) for _ in range(2)]
    try:
        await connections[0].execute(
            "insert into auth.users (id, aud, role, email) "
            "values ($1, 'authenticated', 'authenticated', 'other@example.com')",
            OTHER_UID,
        )
        token = (await call(connections[0], "agent", CREATE, FREE))["token"]
        answers = await asyncio.gather(
            call(connections[0], UNLINKED, REDEEM, token),
            call(connections[1], OTHER, REDEEM, token),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, asyncpg.PostgresError)]
        assert [error.sqlstate for error in refused] == ["PT410"]
        linked = await connections[0].fetchval(
            "select count(*) from customers where portal_user_id = any($1)",
            [UNLINKED.uid, OTHER_UID],
        )
        assert linked == 1
    finally:
        for connection in connections:
            await connection.close()


async def test_only_the_right_people_make_and_redeem_invites(db: Connection) -> None:
    for who in ("customer_a", "unlinked", "inactive"):
        assert await refusal(db, who, CREATE, FREE) == ("42501", "only staff may invite customers")
    assert (await refusal(db, "anon", CREATE, FREE))[0] == "42501"
    token = (await call(db, "agent", CREATE, FREE))["token"]
    assert await refusal(db, "agent", REDEEM, token) == (
        "42501",
        "only a portal user may redeem an invite",
    )
    assert await refusal(db, "customer_a", REDEEM, token) == (
        "PT409",
        "this login belongs to a customer already",
    )
    for bad in ("", "x", None, "0" * 64, "x" * 10**6):
        assert await refusal(db, UNLINKED, REDEEM, bad) == ("PT404", "no such invite")
    assert (await refusal(db, "agent", "select unlink_portal_user($1)", FREE))[0] == "42501"


async def test_linked_closed_and_unknown_customers_cannot_be_invited(db: Connection) -> None:
    cannot = ("PT409", "this customer cannot be invited")
    assert await refusal(db, "agent", CREATE, customer_id(1)) == cannot
    token = (await call(db, "agent", CREATE, FREE))["token"]
    await db.execute("update customers set deleted_at = now() where id = $1", FREE)
    assert await refusal(db, "agent", CREATE, FREE) == cannot
    assert (await refusal(db, UNLINKED, REDEEM, token))[0] == "PT409"
    assert (await refusal(db, "agent", CREATE, customer_id(9999)))[0] == "PT404"
    for valid_for in ("0 seconds", "-1 day", "31 days"):
        assert await refusal(
            db, "agent", f"select create_portal_invite($1, '{valid_for}')", customer_id(61)
        ) == ("22023", "valid_for must be between 1 minute and 30 days")
