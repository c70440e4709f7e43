"""Writers that insert through REST while things break, and remember what was acknowledged."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from http import HTTPStatus

import asyncpg
import httpx

from local_stack.stack import LocalStack

TABLE = "public.ledger"
_SCHEMA = f"""
create table {TABLE} (id bigint primary key, payload text not null default '');
alter table {TABLE} enable row level security;
grant select, insert on {TABLE} to service_role;
alter publication supabase_realtime add table {TABLE};
notify pgrst, 'reload schema';
"""
_ANSWERS = (HTTPStatus.CREATED, HTTPStatus.CONFLICT)
RETRY_S = 0.02


async def execute(url: str, sql: str) -> object:
    """Run SQL on a connection of its own and return the first value."""
    connection = await asyncpg.connect(url)
    try:
        if sql.rstrip().endswith(";"):
            await connection.execute(sql)
            return None
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def make_ledger(stack: LocalStack) -> None:
    """Make the table that the writers write to."""
    await execute(stack.database_url, _SCHEMA)


@dataclass
class Writers:
    """Insert numbered rows until stopped; a row is repeated until it is acknowledged.

    Attributes:
        acknowledged: Ids for which an answer said that the row is there.
        refusals: Every other answer: status, or the name of the transport's exception.
        payload: Text in every row.
    """

    stack: LocalStack
    count: int = 3
    payload: str = ""
    acknowledged: set[int] = field(default_factory=set)
    refusals: list[tuple[int | str, str]] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _stopping: bool = False

    async def __aenter__(self) -> Writers:
        numbers = itertools.count(1)
        self._tasks = [asyncio.create_task(self._write(numbers)) for _ in range(self.count)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _write(self, numbers: itertools.count[int]) -> None:
        async with httpx.AsyncClient(timeout=20) as http:
            while not self._stopping:
                row = {"id": next(numbers), "payload": self.payload}
                while not await self._insert(http, row):
                    if self._stopping:
                        return
                    await asyncio.sleep(RETRY_S)

    async def _insert(self, http: httpx.AsyncClient, row: dict[str, object]) -> bool:
        headers = {"apikey": self.stack.keys.secret}
        url = f"{self.stack.api_url}/rest/v1/ledger"
        try:
            answer = await http.post(url, json=row, headers=headers)
        except httpx.TransportError as error:
            self.refusals.append((type(error).__name__, str(error)))
            return False
        if answer.status_code in _ANSWERS:
            self.acknowledged.add(int(str(row["id"])))
            return True
        self.refusals.append((answer.status_code, answer.text))
        return False

    async def missing(self) -> set[int]:
        """Return the acknowledged ids that the database does not have."""
        connection = await asyncpg.connect(self.stack.database_url)
        try:
            rows = await connection.fetch(f"select id from {TABLE}")
        finally:
            await connection.close()
        return self.acknowledged - {row["id"] for row in rows}
