"""What the database says: each customer's change log and rows, read as that customer.

The connection goes straight to PostgreSQL and takes on the customer's identity for one transaction,
so that row-level security decides, and no part of what is being tested has a say.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import asyncpg

from portalctl.demo.checker import ChangeKey, ExpectedChange, Row
from portalctl.demo.people import DemoCustomer

PORTAL_TABLES: Final = ("customers", "jobs", "invoices", "messages", "loyalty_transactions")
_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Truth:
    """What one customer could see at one moment, and the changes that led there.

    Attributes:
        n: The head of the customer's feed.
        log: Every entry after the position asked for, in order.
        rows: Every visible row by table and id.
        row_ids: (table, row id) of everything in `rows` and `log`.
    """

    n: int
    log: tuple[ExpectedChange, ...]
    rows: dict[str, dict[str, Row]]

    @property
    def row_ids(self) -> frozenset[tuple[str, str]]:
        """Return (table, row id) of everything visible now or mentioned in the log."""
        visible = {(table, row_id) for table, rows in self.rows.items() for row_id in rows}
        return frozenset(visible | {(entry.key.table, entry.key.row_id) for entry in self.log})


class Oracle:
    """Read the truth of one database. Use as an async context manager.

    Args:
        database_url: A login that may take on the role `authenticated`.
    """

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def __aenter__(self) -> Self:
        self._connection = await asyncpg.connect(self._database_url, timeout=_TIMEOUT_S)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._connection is not None:
            await self._connection.close(timeout=_TIMEOUT_S)

    async def head(self, customer: DemoCustomer) -> int:
        """Return the position of the last change committed for this customer."""
        async with self._as(customer) as connection:
            return await _head(connection, customer.scope)

    async def heads(self, customers: Iterable[DemoCustomer]) -> dict[int, int]:
        """Return the head of several customers' feeds by customer number."""
        return {customer.number: await self.head(customer) for customer in customers}

    async def truth(self, customer: DemoCustomer, after_n: int) -> Truth:
        """Read a customer's log after a position, and their rows, in one snapshot.

        Raises:
            RuntimeError: The log has a hole, which the database promises never to have.
        """
        async with self._as(customer) as connection:
            n = await _head(connection, customer.scope)
            entries = await connection.fetch(
                "select n, table_name, row_id::text as row_id, op, version, row is null as blank"
                " from public.sync_changes where scope = $1 and n > $2 order by n",
                customer.scope,
                after_n,
            )
            rows = {table: await _rows(connection, table) for table in PORTAL_TABLES}
        if [entry["n"] for entry in entries] != list(range(after_n + 1, n + 1)):
            raise RuntimeError(f"the change log of {customer.email} is not dense after {after_n}")
        return Truth(n, tuple(_expected(entry) for entry in entries), rows)

    @asynccontextmanager
    async def _as(
        self, customer: DemoCustomer
    ) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        if self._connection is None:
            raise RuntimeError("the oracle is not open")
        claims = {"sub": customer.user_id, "role": "authenticated", "aud": "authenticated"}
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            await self._connection.execute(
                "select set_config('request.jwt.claims', $1, true),"
                " set_config('role', 'authenticated', true)",
                json.dumps(claims),
            )
            yield self._connection


async def _head(connection: asyncpg.Connection[asyncpg.Record], scope: str) -> int:
    n: int | None = await connection.fetchval(
        "select n from public.sync_scopes where scope = $1", scope
    )
    if n is None:
        raise RuntimeError(f"the customer cannot see their own scope {scope}")
    return n


async def _rows(connection: asyncpg.Connection[asyncpg.Record], table: str) -> dict[str, Row]:
    # `table` is one of PORTAL_TABLES; row-level security decides which rows come back.
    records = await connection.fetch(f"select to_jsonb(t)::text as row from public.{table} as t")
    rows: list[dict[str, Any]] = [json.loads(record["row"]) for record in records]
    return {row["id"]: row for row in rows}


def _expected(entry: asyncpg.Record) -> ExpectedChange:
    removed = entry["op"] == "remove"
    version = 0 if removed else entry["version"]
    key = ChangeKey(entry["table_name"], entry["row_id"], version)
    # A blanked entry belongs to a row that was taken back: it may have been seen, or not.
    return ExpectedChange(key, required=removed or not entry["blank"])
