"""Decide whether a database is what the tests expect: the first thing that is wrong, or None."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import asyncpg

from tests.migrations.catalogue import RULES
from tests.policies.matrix import read_cases
from tests.policies.test_matrix import attempt, meets
from tests.policies.test_realtime_topics import may
from tests.support.cluster import Database
from tests.support.personas import PERSONAS, acting_as, customer_id

# Names of the seed's own topics would also count the doorbells that the seed rang.
TOPICS = {
    f"customer:{customer_id(1)}:probe": {"customer_a", "agent", "manager", "admin"},
    "staff:probe": {"agent", "manager", "admin"},
    "elsewhere": set(),
}
# What the catalogue tests say of every database; here they judge what no attempt can show.
STATIC = (
    "tables without row level security",
    "policies for other roles than authenticated, or for all verbs",
    "relations that anon may touch",
    "truncate, references, trigger or delete granted to an API role",
)


def read_probes() -> list[dict[str, str]]:
    """Return probes.csv: attempts that the matrix cannot make, with the refusal they must meet."""
    with (Path(__file__).parent / "probes.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


async def first_fault(database: Database, table: str) -> str | None:
    """Return the first expectation that fails; those about `table` are asked first."""
    connection = await asyncpg.connect(database.url)
    try:
        if table == "realtime.messages":
            return await wrong_topic(database) or await wrong_static(connection)
        name = table.removeprefix("public.")
        return (
            await wrong_case(connection, {name})
            or await wrong_probe(connection, {name})
            or await wrong_static(connection)
        )
    finally:
        await connection.close()


async def every_fault(database: Database) -> list[str]:
    """Return one fault of every part: for the baseline, which must have none."""
    connection = await asyncpg.connect(database.url)
    everything = {case.table for case in read_cases()}
    try:
        found = [
            await wrong_case(connection, everything),
            await wrong_probe(connection, everything),
            await wrong_topic(database),
            await wrong_static(connection),
        ]
    finally:
        await connection.close()
    return [fault for fault in found if fault is not None]


async def wrong_case(connection: asyncpg.Connection, tables: set[str]) -> str | None:
    for case in read_cases():
        if case.table not in tables:
            continue
        for persona, word in case.expected.items():
            outcome = await attempt(connection, case, persona)
            if not meets(case, word, outcome):
                return f"matrix: {case} as {persona}: expected {word}, got {outcome}"
    return None


async def wrong_probe(connection: asyncpg.Connection, tables: set[str]) -> str | None:
    for probe in read_probes():
        if probe["table"] not in tables | {"*"}:
            continue
        outcome = "no error"
        transaction = connection.transaction()
        await transaction.start()
        try:
            if probe["persona"] != "owner":
                await acting_as(connection, probe["persona"])
            outcome = await connection.execute(probe["statement"])
        except asyncpg.PostgresError as error:
            outcome = f"{error.sqlstate} {error}"
        finally:
            await transaction.rollback()
        if not re.match(probe["outcome"], outcome):
            return f"probe: {probe['name']}: expected {probe['outcome']}, got {outcome}"
    return None


async def wrong_topic(database: Database) -> str | None:
    connection = await asyncpg.connect(database.admin_url)
    try:
        for topic, members in TOPICS.items():
            for persona in PERSONAS:
                if persona == "service_role":
                    continue
                for extension in ("broadcast", "presence", "postgres_changes"):
                    expected = persona in members and extension != "postgres_changes"
                    try:
                        got: object = await may(connection, persona, topic, extension)
                    except asyncpg.PostgresError as error:
                        got = str(error)
                    if got != (expected, expected):
                        return f"topics: {persona} {topic} {extension}: {got}"
    finally:
        await connection.close()
    return None


async def wrong_static(connection: asyncpg.Connection) -> str | None:
    for rule in STATIC:
        found = await connection.fetch(RULES[rule])
        if found:
            return f"catalogue: {rule}: {found[0][0]}"
    return None
