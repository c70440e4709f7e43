"""Call the database as somebody, the way the API does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from tests.support.personas import Persona, acting_as

if TYPE_CHECKING:
    from tests.support.cluster import Database

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def connect(database: Database) -> Connection:
    """Connect as the owner; JSON values come and go as Python values."""
    connection = await asyncpg.connect(database.url)
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=json.dumps, decoder=json.loads
        )
    return connection


async def call(
    db: Connection, who: Persona | str, sql: str, *values: Any, key: str | None = None
) -> Any:
    """Run one statement as a persona, commit, return its first value.

    Args:
        db: From `connect`.
        who: The persona.
        sql: One statement.
        values: Its parameters.
        key: Idempotency-Key of the request.
    """
    async with db.transaction():
        await acting_as(db, who, headers={"idempotency-key": key} if key else None)
        return await db.fetchval(sql, *values)


async def refusal(db: Connection, who: Persona | str, sql: str, *values: Any) -> tuple[str, str]:
    """Run a statement that must be refused; return SQLSTATE and message."""
    try:
        answer = await call(db, who, sql, *values)
    except asyncpg.PostgresError as error:
        return error.sqlstate, str(error).splitlines()[0]
    raise AssertionError(f"not refused, answered {answer!r}")
