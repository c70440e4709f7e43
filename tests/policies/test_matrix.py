"""Who may do what: every persona tries every verb on every table, row class by row class."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import asyncpg
import pytest

from tests.policies.matrix import (
    HERE,
    REFUSALS,
    VERBS,
    Case,
    read_cases,
    read_lines,
    read_statements,
)
from tests.support.cluster import SEEDED, Database, TestCluster
from tests.support.personas import PERSONAS, acting_as


@pytest.fixture(scope="module")
def prepared(cluster: TestCluster) -> Iterator[Database]:
    """A seeded database for this module; every attempt in it is rolled back."""
    database = cluster.clone(SEEDED, "policy_matrix")
    asyncio.run(add_extra_rows(database))
    yield database
    cluster.drop(database)


async def add_extra_rows(database: Database) -> None:
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute((HERE / "extra_rows.sql").read_text(encoding="utf-8"))
    finally:
        await connection.close()


async def attempt(connection: asyncpg.Connection[asyncpg.Record], case: Case, persona: str) -> str:
    """Run the statement as the persona, roll back, describe what happened."""
    uid = PERSONAS[persona].uid
    statement = case.statement.replace("$me", f"'{uid}'" if uid else "null")
    transaction = connection.transaction()
    await transaction.start()
    try:
        await acting_as(connection, persona)
        status = await connection.execute(statement)
    except asyncpg.PostgresError as error:
        return f"{error.sqlstate} {str(error).splitlines()[0]}"
    else:
        return "1" if status.split()[-1] != "0" else "0"
    finally:
        await transaction.rollback()


def meets(case: Case, word: str, outcome: str) -> bool:
    """Tell whether the outcome is what the word of the matrix promises."""
    if word in REFUSALS:
        sqlstate, message = REFUSALS[word]
        return re.match(f"{sqlstate} {message.format(table=case.table)}", outcome) is not None
    return outcome == word


@pytest.mark.parametrize("case", read_cases(), ids=str)
async def test_every_persona_gets_what_the_matrix_says(prepared: Database, case: Case) -> None:
    connection = await asyncpg.connect(prepared.url)
    try:
        outcomes = {persona: await attempt(connection, case, persona) for persona in case.expected}
    finally:
        await connection.close()
    wrong = {
        persona: f"expected {case.expected[persona]}, got {outcome}"
        for persona, outcome in outcomes.items()
        if not meets(case, case.expected[persona], outcome)
    }
    assert wrong == {}


async def without_expectation(connection: asyncpg.Connection[asyncpg.Record]) -> set[str]:
    """Return every table and verb, and every role with a grant, that the matrix does not know."""
    tables = await connection.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace "
        "and relkind in ('r', 'p', 'v', 'm', 'f')"
    )
    roles = await connection.fetch(
        "select distinct g.grantee::regrole::text as name from pg_class c, "
        "lateral (select (aclexplode(c.relacl)).grantee union all "
        "select (aclexplode(a.attacl)).grantee from pg_attribute a where a.attrelid = c.oid) g "
        "where c.relnamespace = 'public'::regnamespace and g.grantee <> c.relowner"
    )
    wanted = {f"{table['relname']} {verb}" for table in tables for verb in VERBS}
    known = {f"{case.table} {case.verb}" for case in read_cases()}
    tried = {persona.role for persona in PERSONAS.values()} | {"postgres"}
    return (wanted ^ known) | ({role["name"] for role in roles} - tried)


async def test_no_table_verb_role_or_persona_is_without_expectation(prepared: Database) -> None:
    connection = await asyncpg.connect(prepared.url)
    try:
        assert await without_expectation(connection) == set()
    finally:
        await connection.close()
    for case in read_cases():
        assert set(case.expected) == set(PERSONAS), case
        assert all(case.expected.values()), case


async def test_a_new_table_and_a_new_role_are_missed_in_the_matrix(prepared: Database) -> None:
    connection = await asyncpg.connect(prepared.admin_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(
            "create table public.fresh (id int primary key); create role branch_office; "
            "grant select (name) on customers to branch_office"
        )
        missed = {f"fresh {verb}" for verb in VERBS} | {"branch_office"}
        assert await without_expectation(connection) == missed
    finally:
        await transaction.rollback()
        await connection.close()


def test_no_write_hides_its_check_behind_returning() -> None:
    assert [name for name, sql in read_statements().items() if " returning " in sql] == []


def test_every_statement_is_used_once() -> None:
    names = [f"{line['table']} {line['verb']} {line['row_class']}" for line in read_lines()]
    assert len(names) == len(set(names))
    assert set(names) == set(read_statements())


def test_every_read_and_write_is_allowed_to_somebody_and_refused_to_somebody() -> None:
    """A matrix that expects the same of everybody proves nothing about a policy."""
    for table in {case.table for case in read_cases()}:
        words = {
            word
            for case in read_cases()
            if case.table == table and case.verb == "select"
            for word in case.expected.values()
        }
        assert {"grant", "0", "1"} <= words, table
