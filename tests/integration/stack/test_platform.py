"""The platform that migrations meet: as strict as a hosted project."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.cluster import Database

API_ROLES = ("anon", "authenticated", "service_role")


@pytest.fixture
async def owner(bare_database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the project's owner."""
    connection = await asyncpg.connect(bare_database.url)
    yield connection
    await connection.close()


@pytest.mark.parametrize("role", API_ROLES)
async def test_new_tables_are_not_exposed(owner: asyncpg.Connection, role: str) -> None:
    """Without a grant no API role reads or writes a new table."""
    await owner.execute("create table public.probe (id int primary key)")
    for verb in ("select", "insert", "update", "delete"):
        allowed = "select has_table_privilege($1, 'public.probe', $2)"
        assert await owner.fetchval(allowed, role, verb) is False, verb
    assert await owner.fetchval(allowed, role, "truncate") is True


async def test_the_owner_is_as_limited_as_on_a_hosted_project(owner: asyncpg.Connection) -> None:
    """No superuser, but it owns the database, passes row level security and may make roles."""
    facts = await owner.fetchrow("select * from pg_roles where rolname = 'postgres'")
    assert facts is not None
    assert not facts["rolsuper"]
    assert facts["rolbypassrls"]
    assert facts["rolcreaterole"]
    await owner.execute("create schema private")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await owner.execute("alter system set work_mem = '1GB'")


async def test_managed_schemas_are_closed_except_for_policies(owner: asyncpg.Connection) -> None:
    """A migration may put policies on realtime.messages and nothing else."""
    await owner.execute(
        "create policy probe on realtime.messages for select to authenticated using (false)"
    )
    for statement in (
        "create table realtime.mine (id int)",
        "alter table realtime.messages add column mine int",
        "create table auth.mine (id int)",
        "drop table auth.users",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await owner.execute(statement)


async def test_the_authenticator_has_no_rights_until_it_becomes_someone(
    bare_database: Database,
) -> None:
    """Its own memberships do not act before `set role`."""
    connection = await asyncpg.connect(bare_database.url_as("authenticator"))
    try:
        for role in API_ROLES:
            await connection.execute(f"set role {role}")
            assert await connection.fetchval("select current_user") == role
            await connection.execute("reset role")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("set role postgres")
    finally:
        await connection.close()
