"""Facts about tables that the stream does not carry: type names, primary keys, RLS, grants."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local_stack.realtime.changes.pgoutput import Relation

if TYPE_CHECKING:
    from local_stack.realtime.database import Connection, Connections

_COLUMNS = """
select
    a.attname::text as name,
    t.typname::text as type_name,
    a.atttypid::bigint as type_oid,
    format_type(a.atttypid, -1) as type_sql,
    coalesce(a.attnum = any (k.conkey), false) as is_key,
    c.relrowsecurity as row_security
from pg_attribute as a
join pg_class as c on c.oid = a.attrelid
join pg_type as t on t.oid = a.atttypid
left join pg_constraint as k on k.conrelid = a.attrelid and k.contype = 'p'
where a.attrelid = $1::bigint::oid and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""


_NUMBERS = itertools.count(1)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A column: name, ``pg_type.typname``, type and whether it is in the primary key.

    Attributes:
        type_sql: the type as SQL spells it, without a modifier.
    """

    name: str
    type_name: str
    type_oid: int
    type_sql: str
    is_key: bool


@dataclass(slots=True)
class Table:
    """A table as it was when the stream described it.

    Attributes:
        readable: columns each role may select, filled as roles turn up.
        lookup: name of the prepared statement that finds rows by their keys: per column of the key
            one array of texts, answered by one array that says which rows are there.
    """

    relation: Relation
    columns: tuple[ColumnInfo, ...]
    row_security: bool
    readable: dict[str, frozenset[str]] = field(default_factory=dict)
    lookup: str = field(default_factory=lambda: f"realtime_lookup_{next(_NUMBERS)}")
    _prepared_on: Connection | None = None

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of the primary key's columns; empty without one."""
        return tuple(column.name for column in self.columns if column.is_key)

    async def prepare_lookup(self, connection: Connection) -> None:
        """Make sure that this connection has the statement ``lookup``; raises asyncpg errors.

        It stays for the life of the connection, so that PostgreSQL plans it once per role.
        """
        if self._prepared_on is connection:
            return
        keys = list(enumerate((column for column in self.columns if column.is_key), 1))
        conditions = " and ".join(
            f"t.{_quote(column.name)} = k.c{place}::{column.type_sql}" for place, column in keys
        )
        table = f"{_quote(self.relation.schema)}.{_quote(self.relation.name)}"
        columns = ", ".join(f"c{place}" for place, _ in keys)
        # Identifiers and type names come from the catalogue; values are bound at the execution.
        await connection.execute(
            f"prepare {self.lookup}({', '.join('text[]' for _ in keys)}) as "
            f"select array_agg(exists (select from {table} as t where {conditions}) "
            f"order by k.place) from unnest({', '.join(f'${place}' for place, _ in keys)}) "
            f"with ordinality as k ({columns}, place)"
        )
        self._prepared_on = connection

    async def forget_lookup(self, connection: Connection) -> None:
        """Drop the statement, for the table has been described anew; raises asyncpg errors."""
        if self._prepared_on is connection:
            self._prepared_on = None
            await connection.execute(f"deallocate {self.lookup}")

    async def load_readable(self, database: Connections, roles: set[str]) -> None:
        """Make sure the grants of these roles are known; a role that is gone may read nothing."""
        missing = sorted(roles - self.readable.keys())
        if not missing:
            return
        async with database.connection() as connection:
            rows = await connection.fetch(
                "select * from realtime.readable_columns($1::bigint::oid, $2)",
                self.relation.oid,
                missing,
            )
        for row in rows:
            self.readable[row["role_name"]] = frozenset(row["column_names"])


class Catalog:
    """Tables by their description; a new description is looked up anew.

    PostgreSQL repeats the description after DDL and grants, so nothing here outlives a change.
    """

    def __init__(self, database: Connections) -> None:
        self._database = database
        self._tables: dict[int, Table] = {}

    async def table(self, relation: Relation) -> Table:
        """Return the facts about a table; raises asyncpg errors when it cannot ask."""
        known = self._tables.get(relation.oid)
        if known is not None and known.relation is relation:
            return known
        async with self._database.connection() as connection:
            if known is not None:
                await known.forget_lookup(connection)
            rows = await connection.fetch(_COLUMNS, relation.oid)
        columns = tuple(
            ColumnInfo(
                row["name"], row["type_name"], row["type_oid"], row["type_sql"], row["is_key"]
            )
            for row in rows
        )
        row_security = bool(rows) and bool(rows[0]["row_security"])
        table = Table(relation, columns, row_security)
        self._tables[relation.oid] = table
        return table

    def clear(self) -> None:
        """Forget everything, for a new stream describes every table again."""
        self._tables.clear()
