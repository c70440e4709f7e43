"""rls_policies/ is the current state: applied to bare tables it gives what the migrations give."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from tests.migrations.catalogue import SECURITY
from tests.support.cluster import Database

FILES = sorted((Path(__file__).resolve().parents[2] / "rls_policies").glob("*.sql"))

STRIP = """
do $$
declare
    found record;
begin
    for found in select * from pg_policies where schemaname in ('public', 'realtime') loop
        execute format('drop policy %I on %I.%I',
            found.policyname, found.schemaname, found.tablename);
    end loop;
    for found in select oid::regclass as name from pg_class
        where relnamespace = 'public'::regnamespace and relkind = 'r'
    loop
        execute format('revoke all on %s from public, anon, authenticated, service_role',
            found.name);
        execute format('alter table %s disable row level security', found.name);
    end loop;
end;
$$"""


async def snapshot(connection: asyncpg.Connection) -> list[str]:
    return [record["fact"] for record in await connection.fetch(SECURITY)]


async def test_policy_files_and_migrations_give_the_same_security(empty_database: Database) -> None:
    connection = await asyncpg.connect(empty_database.url)
    try:
        migrated = await snapshot(connection)
        await connection.execute(STRIP)
        assert await snapshot(connection) != migrated
        for file in FILES:
            await connection.execute(file.read_text(encoding="utf-8"))
        assert await snapshot(connection) == migrated
        for file in FILES:
            await connection.execute(file.read_text(encoding="utf-8"))
        assert await snapshot(connection) == migrated, "the files can be applied again"
    finally:
        await connection.close()


async def test_every_table_has_its_file(empty_database: Database) -> None:
    connection = await asyncpg.connect(empty_database.url)
    try:
        tables = await connection.fetch(
            "select relname from pg_class where relnamespace = 'public'::regnamespace "
            "and relkind = 'r'"
        )
    finally:
        await connection.close()
    assert {file.stem for file in FILES} == {t["relname"] for t in tables} | {"realtime_messages"}
