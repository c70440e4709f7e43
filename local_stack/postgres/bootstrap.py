"""Turn a fresh database into a Supabase-like platform.

The files `bootstrap/NN_<subject>.sql` are applied as the superuser, in the order of their numbers,
each in one transaction and once per database; which ones were applied is kept in the database.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from local_stack.errors import BootstrapError
from local_stack.postgres.sql_text import failure_detail

_log = logging.getLogger("local_stack.postgres")

FOLDER = Path(__file__).with_name("bootstrap")
_NAME = re.compile(r"^\d{2}_[a-z0-9_]+\.sql$")
_RECORD = """
create schema if not exists _local_stack;
create table if not exists _local_stack.bootstrap (
    name text primary key,
    checksum text not null,
    applied_at timestamptz not null default now()
);
comment on table _local_stack.bootstrap is 'Platform files that built this database.';
"""


@dataclass(frozen=True, slots=True)
class BootstrapOutcome:
    """What was done: files applied now, files that changed since they were applied."""

    applied: tuple[str, ...]
    outdated: tuple[str, ...]


def bootstrap_files(folder: Path = FOLDER) -> list[Path]:
    """Return the platform's files in the order in which they are applied.

    Raises:
        BootstrapError: A file is not named `NN_<subject>.sql`.
    """
    files = sorted(folder.glob("*.sql"))
    for file in files:
        if not _NAME.match(file.name):
            raise BootstrapError(file.name, "its name is not NN_<subject>.sql")
    return files


async def apply_bootstrap(
    admin_dsn: str, passwords: dict[str, str], folder: Path = FOLDER
) -> BootstrapOutcome:
    """Apply the platform's files that this database does not have yet.

    Args:
        admin_dsn: URL of the database as superuser.
        passwords: Password by role, set once the roles exist. Never part of a file.
        folder: Where the files are.

    Raises:
        BootstrapError: A file failed; it left nothing behind.
    """
    connection = await asyncpg.connect(admin_dsn)
    try:
        await connection.execute(_RECORD)
        rows = await connection.fetch("select name, checksum from _local_stack.bootstrap")
        known = {row["name"]: row["checksum"] for row in rows}
        applied: list[str] = []
        outdated: list[str] = []
        for file in bootstrap_files(folder):
            text = file.read_text(encoding="utf-8")
            checksum = hashlib.sha256(text.encode()).hexdigest()
            if file.name not in known:
                await _apply(connection, file.name, text, checksum)
                applied.append(file.name)
            elif known[file.name] != checksum:
                outdated.append(file.name)
        await set_passwords(connection, passwords)
    finally:
        await connection.close()
    return BootstrapOutcome(tuple(applied), tuple(outdated))


async def _apply(
    connection: asyncpg.Connection[asyncpg.Record], name: str, text: str, checksum: str
) -> None:
    _log.info("Applying bootstrap file %s", name)
    try:
        async with connection.transaction():
            await connection.execute(text)
            await connection.execute("reset all")
            await connection.execute(
                "insert into _local_stack.bootstrap (name, checksum) values ($1, $2)",
                name,
                checksum,
            )
    except asyncpg.PostgresError as error:
        raise BootstrapError(name, failure_detail(error, text), error.sqlstate) from error


async def set_passwords(
    connection: asyncpg.Connection[asyncpg.Record], passwords: dict[str, str]
) -> None:
    """Give roles their passwords; a role that does not exist is an error of the caller."""
    for role, password in passwords.items():
        # Utility statements take no parameters, so the server quotes the values itself.
        statement = await connection.fetchval(
            "select format('alter role %I password %L', $1::text, $2::text)", role, password
        )
        await connection.execute(statement)
