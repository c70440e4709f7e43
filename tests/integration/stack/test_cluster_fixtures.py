"""The databases that tests get."""

import asyncpg

from tests.support.cluster import Database
from tests.support.personas import PERSONAS, acting_as


async def test_bare_database_has_the_platform(bare_database: Database) -> None:
    """Roles and managed schemas exist, and the project's owner is no superuser."""
    connection = await asyncpg.connect(bare_database.url)
    try:
        schemas = await connection.fetch("select nspname from pg_namespace")
        assert {"public", "extensions", "auth", "realtime"} <= {row["nspname"] for row in schemas}
        assert await connection.fetchval("show is_superuser") == "off"
    finally:
        await connection.close()


async def test_each_test_has_its_own_database(
    bare_database: Database, empty_database: Database
) -> None:
    """What one clone contains is not in the other."""
    first = await asyncpg.connect(bare_database.url)
    second = await asyncpg.connect(empty_database.url)
    try:
        await first.execute("create table public.probe (id int)")
        assert await second.fetchval("select to_regclass('public.probe')") is None
    finally:
        await first.close()
        await second.close()


async def test_every_persona_can_act(bare_database: Database) -> None:
    """Role and claims are set for the transaction and gone after it."""
    connection = await asyncpg.connect(bare_database.url)
    try:
        for persona in PERSONAS.values():
            async with connection.transaction():
                await acting_as(connection, persona)
                row = await connection.fetchrow("select current_user, auth.uid()::text as uid")
                assert row is not None
                assert (row["current_user"], row["uid"]) == (persona.role, persona.uid)
        assert await connection.fetchval("select current_user") == "postgres"
    finally:
        await connection.close()
