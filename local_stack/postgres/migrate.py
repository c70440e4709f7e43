"""Apply `supabase/migrations` and `supabase/seed.sql` as the Supabase CLI does.

History is kept in the CLI's own tables, so that `supabase db push` and this module can take
turns on one database. Every migration is one transaction, as role `postgres`.
"""

from __future__ import annotations

import hashlib
import logging
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from local_stack.errors import MigrationError, SeedError
from local_stack.postgres.sql_text import (
    essence,
    failure_detail,
    split_statements,
    transaction_control,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

_log = logging.getLogger("local_stack.postgres")

LOCK_KEY = 0x706F_7274_616C  # "portal": one number for everyone who migrates
LOCK_TIMEOUT_S = 60
_NAME = re.compile(r"^(?P<version>\d{14})_(?P<name>[A-Za-z0-9_\-]+)\.sql$")
# What is deferred comes first: the change feed keeps count of it in a setting.
_SETTLE = "set constraints all immediate; reset all"
_HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
    version text not null primary key
);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
create table if not exists supabase_migrations.seed_files (
    path text not null primary key,
    hash text not null
);
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `supabase/migrations`."""

    version: str
    name: str
    file: str
    sql: str


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """What differs between a folder and a database.

    Attributes:
        pending: In the folder, not in the database; in the order in which they are applied.
        applied: Versions in both.
        out_of_order: Files among `pending` that are older than the newest applied one.
        edited: Files whose text is not what was applied.
        unknown: Versions in the database that the folder does not have.
    """

    pending: tuple[Migration, ...]
    applied: tuple[str, ...]
    out_of_order: tuple[str, ...]
    edited: tuple[str, ...]
    unknown: tuple[str, ...]


def read_migrations(folder: Path) -> list[Migration]:
    """Return the migrations of a folder, oldest first; an absent folder has none.

    Raises:
        MigrationError: A file is named wrongly, or two have the same version.
    """
    migrations: dict[str, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.match(path.name)
        if match is None:
            raise MigrationError(path.name, "its name is not <YYYYMMDDHHMMSS>_<name>.sql")
        version = match["version"]
        if version in migrations:
            other = migrations[version].file
            raise MigrationError(path.name, f"{other} has the same version {version}")
        text = path.read_text(encoding="utf-8")
        migrations[version] = Migration(version, match["name"], path.name, text)
    return [migrations[version] for version in sorted(migrations)]


def plan_migrations(
    migrations: Sequence[Migration], history: Mapping[str, Sequence[str] | None]
) -> MigrationPlan:
    """Compare a folder with a database's history. Pure.

    Args:
        migrations: The folder, oldest first.
        history: Applied statements by version; None where the CLI kept none.
    """
    newest = max(history, default="")
    known = {migration.version for migration in migrations}
    pending = tuple(m for m in migrations if m.version not in history)
    edited = []
    for migration in migrations:
        statements = history.get(migration.version)
        if statements and essence(";\n".join(statements)) != essence(migration.sql):
            edited.append(migration.file)
    return MigrationPlan(
        pending=pending,
        applied=tuple(sorted(known & set(history))),
        out_of_order=tuple(m.file for m in pending if m.version < newest),
        edited=tuple(edited),
        unknown=tuple(sorted(set(history) - known)),
    )


async def migration_status(dsn: str, folder: Path) -> MigrationPlan:
    """Compare a folder with a database without changing the database.

    Args:
        dsn: URL of the database as role `postgres`.
        folder: `supabase/migrations`.
    """
    migrations = read_migrations(folder)
    connection = await asyncpg.connect(dsn)
    try:
        return plan_migrations(migrations, await _history(connection))
    finally:
        await connection.close()


async def apply_migrations(
    dsn: str,
    folder: Path,
    *,
    include_older: bool = False,
    on_progress: Callable[[Migration, int, int], None] | None = None,
) -> MigrationPlan:
    """Apply every migration that the database does not have, oldest first.

    Two processes may do this at once: the second waits and finds nothing to do.

    Args:
        dsn: URL of the database as role `postgres`.
        folder: `supabase/migrations`.
        include_older: Also apply files older than the newest applied one.
        on_progress: Called before each migration with it, its number from 1 and their count.

    Returns:
        The plan that was carried out; `edited` and `unknown` are for the caller to report.

    Raises:
        MigrationError: A file failed and left nothing behind; the ones before it stay applied.

    Cancellation:
        The running migration is rolled back.
    """
    migrations = read_migrations(folder)
    async with _exclusive(dsn) as connection:
        await connection.execute(_HISTORY)
        plan = plan_migrations(migrations, await _history(connection))
        if plan.out_of_order and not include_older:
            raise MigrationError(
                plan.out_of_order[0],
                "it is older than the newest migration of this database. Give it a newer "
                "timestamp, or ask for older ones to be included",
            )
        for number, migration in enumerate(plan.pending, start=1):
            if on_progress is not None:
                on_progress(migration, number, len(plan.pending))
            await _apply(connection, migration)
    return plan


async def apply_seed(dsn: str, file: Path, *, on_load: Callable[[], None] = lambda: None) -> bool:
    """Run the seed file once per database; tell whether it ran now.

    Args:
        dsn: URL of the database as role `postgres`.
        file: `supabase/seed.sql`; an absent file is nothing to do.
        on_load: Called before the file is run, and only then.

    Raises:
        SeedError: The file failed and left nothing behind.
    """
    try:
        text = file.read_text(encoding="utf-8")  # noqa: ASYNC240  # small and local, before any work
    except FileNotFoundError:
        return False
    key = f"supabase/{file.name}"
    async with _exclusive(dsn) as connection:
        await connection.execute(_HISTORY)
        known = await connection.fetchval(
            "select hash from supabase_migrations.seed_files where path = $1", key
        )
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if known is not None:
            if known != checksum:
                _log.warning("%s changed since it was loaded; it is not loaded again.", key)
            return False
        on_load()
        try:
            async with connection.transaction():
                await connection.execute(text)
                await connection.execute(_SETTLE)
                await connection.execute(
                    "insert into supabase_migrations.seed_files (path, hash) values ($1, $2)",
                    key,
                    checksum,
                )
        except asyncpg.PostgresError as error:
            raise SeedError(file.name, failure_detail(error, text), error.sqlstate) from error
    return True


@asynccontextmanager
async def _exclusive(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT_S}s'")
        # Released when the connection closes, so a killed process leaves no lock behind.
        await connection.execute("select pg_advisory_lock($1)", LOCK_KEY)
        await connection.execute("reset lock_timeout")
        yield connection
    finally:
        await connection.close()


async def _history(
    connection: asyncpg.Connection[asyncpg.Record],
) -> dict[str, list[str] | None]:
    table = "supabase_migrations.schema_migrations"
    if await connection.fetchval("select to_regclass($1)", table) is None:
        return {}
    # Older versions of the CLI kept the version alone.
    rows = await connection.fetch(f"select * from {table}")
    return {row["version"]: row.get("statements") for row in rows}


async def _apply(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    _log.info("Applying migration %s", migration.file)
    statements = split_statements(migration.sql)
    control = transaction_control(statements)
    if control is not None:
        raise MigrationError(
            migration.file,
            f"it contains {control!r}, but every migration is one transaction already; remove it",
        )
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(_SETTLE)
            await connection.execute(
                "insert into supabase_migrations.schema_migrations (version, name, statements) "
                "values ($1, $2, $3)",
                migration.version,
                migration.name,
                statements,
            )
    except asyncpg.PostgresError as error:
        detail = failure_detail(error, migration.sql)
        raise MigrationError(migration.file, detail, error.sqlstate) from error
