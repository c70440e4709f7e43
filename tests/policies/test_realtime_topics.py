"""Private channels: who may join and send where, and that no policy or helper ever raises."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.cluster import Database
from tests.support.personas import acting_as, customer_id

OWN, OTHER = f"customer:{customer_id(1)}", f"customer:{customer_id(2)}"
NOBODY: set[str] = set()
STAFF = {"agent", "manager", "admin"}
PROBE = "insert into realtime.messages (topic, extension, private) values ($1, $2, false)"


@pytest.fixture
async def db(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.admin_url)
    yield connection
    await connection.close()


async def may(db: asyncpg.Connection, who: str, topic: str, extension: str) -> tuple[bool, bool]:
    """Probe as the Realtime server does: (may join, may send); rolled back."""
    transaction = db.transaction()
    await transaction.start()
    try:
        await db.execute(PROBE, topic, extension)
        await db.execute("select set_config('realtime.topic', $1, true)", topic)
        await acting_as(db, who)
        read = await db.fetchval("select count(*) from realtime.messages where topic = $1", topic)
        try:
            await db.execute(PROBE, topic, extension)
            write = True
        except asyncpg.InsufficientPrivilegeError:
            write = False
        return read > 0, write
    finally:
        await transaction.rollback()


@pytest.mark.parametrize(
    ("topic", "allowed"),
    [
        (OWN, {"customer_a"} | STAFF),
        (f"{OWN}:lobby", {"customer_a"} | STAFF),
        (OTHER, {"customer_b"} | STAFF),
        (f"{OWN}x", STAFF),
        ("customer:", STAFF),
        ("customer:%", STAFF),
        ("customer:not-a-uuid", STAFF),
        ("staff:board", STAFF),
        ("staffroom", NOBODY),
        ("lobby", NOBODY),
        ("x" * 10_000, NOBODY),
    ],
)
async def test_only_the_right_people_join_and_send(
    db: asyncpg.Connection, topic: str, allowed: set[str]
) -> None:
    await db.execute("delete from realtime.messages")
    people = ("anon", "customer_a", "customer_b", "unlinked", "inactive", *sorted(STAFF))
    for extension in ("broadcast", "presence"):
        for who in people:
            expected = (who in allowed, who in allowed)
            assert await may(db, who, topic, extension) == expected, (who, extension)


async def test_other_extensions_are_refused(db: asyncpg.Connection) -> None:
    await db.execute("delete from realtime.messages")
    assert await may(db, "admin", OWN, "postgres_changes") == (False, False)


BAD_CLAIMS = [
    "",
    "no json",
    "[]",
    "null",
    "3",
    json.dumps({"sub": "not-a-uuid"}),
    '{"sub": 5}',
    "{}",
]


async def test_no_policy_or_helper_raises_on_malformed_claims(database: Database) -> None:
    connection = await asyncpg.connect(database.url)
    try:
        tables = await connection.fetch(
            "select distinct tablename from pg_policies where schemaname = 'public'"
        )
        for claims in BAD_CLAIMS:
            async with connection.transaction():
                await connection.execute(
                    "select set_config('role', 'authenticated', true), "
                    "set_config('request.jwt.claims', $1, true), "
                    "set_config('request.headers', $1, true)",
                    claims,
                )
                for table in tables:
                    rows = await connection.fetch(f"select 1 from public.{table['tablename']}")
                    assert rows == [], (claims, table)
                assert await connection.fetchval("select private.may_use_topic($1)", OWN) is False
                assert await connection.fetchval("select private.request_id()") is None
                caller = await connection.fetchrow("select * from private.caller()")
                assert tuple(caller) == (None, None)
    finally:
        await connection.close()
