"""Copies of databases within one PostgreSQL server: PostgreSQL's own templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

TERMINATE_TIMEOUT_MS = 5_000


def quoted(name: str) -> str:
    """Return an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


async def create_clone(
    admin: Connection, name: str, template: str, owner: str, *, is_durable: bool = True
) -> None:
    """Make a database as a copy of another one, to which nobody may be connected.

    Args:
        admin: As superuser, to a third database.
        name: Of the new database.
        template: What is copied.
        owner: Role that owns the copy.
        is_durable: The server syncs to disk. Where it does not, a checkpoint costs little, and
            copying files takes a third less processor time than writing every page to the log.
    """
    strategy = "wal_log" if is_durable else "file_copy"
    await admin.execute(
        f"create database {quoted(name)} template {quoted(template)} owner {quoted(owner)} "
        f"strategy {strategy}"
    )


async def seal(admin: Connection, name: str) -> None:
    """Let nobody connect to a database any more, so that it can be copied at any time."""
    await admin.execute(f"alter database {quoted(name)} allow_connections false")


async def drop_database(admin: Connection, name: str) -> None:
    """Drop a database with its replication slots, whoever is still connected to it.

    Does nothing where there is none.

    Args:
        admin: As superuser, to another database.
        name: Of the database.
    """
    await admin.execute(
        "select pg_terminate_backend(active_pid, $2) from pg_replication_slots "
        "where database = $1 and active",
        name,
        TERMINATE_TIMEOUT_MS,
    )
    await admin.execute(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = $1",
        name,
    )
    await admin.execute(f"drop database if exists {quoted(name)} with (force)")
