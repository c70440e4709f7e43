"""The tables of the store file, and how a file of ours is recognised."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from portal_sdk._store.protocol import SCHEMA_VERSION

APPLICATION_ID = 0x506F5379
"""Written into the header of every file we make."""
OUTBOX = "outbox"
_MAGIC = b"SQLite format 3\0"
_ID_AT = 68

SCHEMA = (
    "create table meta (key text primary key, value text not null) without rowid",
    """create table rows (
    generation integer not null,
    table_name text not null,
    row_id text not null,
    hash integer not null,
    checksum integer not null,
    body blob not null,
    primary key (generation, table_name, row_id)
) without rowid""",
    """create table shapes (
    table_name text not null,
    columns text not null,
    primary key (table_name, columns)
) without rowid""",
)


def complaint_about(connection: sqlite3.Connection) -> str:
    """Return why this file must not be used, or nothing; changes nothing."""
    if not _tables(connection):
        return ""
    if _pragma(connection, "application_id") != APPLICATION_ID:
        return "belongs to another application"
    if _pragma(connection, "user_version") > SCHEMA_VERSION:
        return "was written by a newer version of the SDK"
    return ""


def create_schema(connection: sqlite3.Connection) -> None:
    """Make the tables, or make them anew if an older version made them; in a transaction.

    The rows are read from the server again; the outbox is all there is of its writes, and stays.
    """
    tables = [table for table in _tables(connection) if table != OUTBOX]
    if tables and _pragma(connection, "user_version") == SCHEMA_VERSION:
        return
    for table in tables:
        connection.execute(f'drop table "{table}"')
    for statement in SCHEMA:
        connection.execute(statement)
    connection.execute(f"pragma application_id = {APPLICATION_ID}")
    connection.execute(f"pragma user_version = {SCHEMA_VERSION}")


def _tables(connection: sqlite3.Connection) -> list[str]:
    names = connection.execute(
        "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
    )
    return [name for (name,) in names]


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"pragma {name}").fetchone()
    return int(value)


def is_our_file(path: Path) -> bool:
    """Return whether the file's header says that we made it, however damaged the rest is."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError:
        return False
    stored_id = int.from_bytes(header[_ID_AT : _ID_AT + 4], "big")
    return header.startswith(_MAGIC) and stored_id == APPLICATION_ID
