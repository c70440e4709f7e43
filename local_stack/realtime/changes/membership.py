"""Which tables and publications there are to stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.realtime.database import Database

if TYPE_CHECKING:
    from local_stack.realtime.config import RealtimeConfig

_QUERY = """
select
    array(
        select format('%I.%I', schemaname, tablename)::regclass::oid::bigint
        from pg_publication_tables where pubname = $1 order by 1
    ) as tables,
    array(select pubname::text from pg_publication where pubname = any ($2) order by 1)
        as publications
"""


@dataclass(frozen=True, slots=True)
class Membership:
    """Tables of the publication, by oid, and the publications that exist."""

    tables: tuple[int, ...]
    publications: tuple[str, ...]


async def read_membership(database: Database, config: RealtimeConfig) -> Membership:
    """Return what the publications hold now; raises asyncpg errors."""
    names = [config.publication, config.messages_publication]
    async with database.connection() as connection:
        row = await connection.fetchrow(_QUERY, config.publication, names)
    if row is None:
        raise AssertionError("a select without from always returns a row")
    return Membership(tuple(row["tables"]), tuple(row["publications"]))
