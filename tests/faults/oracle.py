"""What a customer may see, read from the database as that customer; none of the client's code."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

TABLES = ("customers", "jobs", "invoices", "messages", "loyalty_transactions")
Rows = dict[tuple[str, str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Truth:
    """Every row as the customer's own ``select`` gives it, and where the feed stood then."""

    n: int
    epoch: str
    rows: Rows


async def read_as_user(database_url: str, user_id: str, scope: str) -> Truth:
    """Read the truth in one snapshot, under row-level security.

    Args:
        database_url: Of a role that may become ``authenticated``.
        user_id: Whose eyes to use.
        scope: Whose feed position to note.
    """
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            claims = {"sub": user_id, "role": "authenticated"}
            await connection.execute(
                "select set_config('request.jwt.claims', $1, true),"
                " set_config('timezone', 'UTC', true)", json.dumps(claims),
            )  # fmt: skip
            await connection.execute("set local role authenticated")
            head = await connection.fetchrow(
                "select n, epoch from sync_scopes where scope = $1", scope
            )
            rows: Rows = {}
            for table in TABLES:
                found = await connection.fetch(
                    f"select id, to_jsonb(t)::text as row from {table} t"
                )
                rows |= {(table, str(each["id"])): json.loads(each["row"]) for each in found}
    finally:
        await connection.close()
    n, epoch = (0, "") if head is None else (head["n"], str(head["epoch"]))
    return Truth(n, epoch, rows)


def stored_rows(path: Path) -> Rows:
    """Return what a portal's file holds, read as any program would read it."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        found = connection.execute(
            "select table_name, row_id, body from rows where generation = coalesce("
            "(select cast(value as integer) from meta where key = 'generation'), 0)"
        ).fetchall()
    finally:
        connection.close()
    return {(table, row_id): json.loads(body) for table, row_id, body in found}
