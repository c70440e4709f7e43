"""What the project's SQL says, built in a PostgreSQL that lives as long as the command."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from local_stack.folder import FolderLock, load_passwords, make_ephemeral
from local_stack.postgres.binaries import wheel_install
from local_stack.postgres.bootstrap import apply_bootstrap
from local_stack.postgres.cluster import Cluster, ClusterConfig
from local_stack.postgres.migrate import apply_migrations
from portalctl.database.security import STRIP, Fact, read_security
from portalctl.exits import CommandError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Steps = Callable[[str, int, int], None]

NEWEST_MAJOR, OLDER_MAJOR = 18, 16
_SINCE_MAINTAIN = 17


@dataclass(frozen=True, slots=True)
class Declared:
    """What the project says.

    Attributes:
        by_migrations: State after `supabase/migrations`.
        by_files: State after the same tables and then `rls_policies/` alone.
    """

    by_migrations: frozenset[Fact]
    by_files: frozenset[Fact]


def scratch_major(server_major: int) -> int:
    """Return the PostgreSQL of the wheel whose privileges are those of a server's version."""
    return NEWEST_MAJOR if server_major >= _SINCE_MAINTAIN else OLDER_MAJOR


@asynccontextmanager
async def scratch_database(major: int = NEWEST_MAJOR) -> AsyncIterator[str]:
    """Run a server with the platform in database `postgres`; yields the URL as role postgres.

    Cancellation:
        The server is stopped and its folder removed.
    """
    folder = make_ephemeral()
    lock = FolderLock(folder)
    lock.acquire()
    try:
        passwords = load_passwords(folder)
        cluster = Cluster(
            ClusterConfig(
                folder / "postgres",
                passwords["supabase_admin"],
                durable=False,
                install=wheel_install(str(major)),
            )
        )
        try:
            await cluster.start()
            await apply_bootstrap(cluster.admin_dsn(), passwords)
            yield cluster.dsn("postgres", passwords["postgres"], "postgres")
        finally:
            await cluster.stop()
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def policy_files(project: Path) -> list[Path]:
    """Return the files of `rls_policies/`.

    Raises:
        UsageError: There are none.
    """
    files = sorted((project / "rls_policies").glob("*.sql"))
    if not files:
        raise UsageError(f"{project} has no files in rls_policies.", "Name another with --project.")
    return files


async def declare(url: str, project: Path, on_progress: Steps | None = None) -> Declared:
    """Build both states in a scratch database; it ends in the one of the migrations.

    Args:
        url: The scratch database.
        project: Folder with `supabase/` and `rls_policies/`.
        on_progress: Called before each migration with its name, its number from 1 and their count.

    Raises:
        MigrationError: A migration failed.
        CommandError: A policy file failed; the message names it.
    """
    await apply_migrations(
        url,
        project / "supabase" / "migrations",
        on_progress=on_progress and (lambda m, number, count: on_progress(m.file, number, count)),
    )
    connection = await asyncpg.connect(url)
    try:
        by_migrations = await read_security(connection)
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(STRIP)
            await _run_files(connection, policy_files(project))
            by_files = await read_security(connection)
        finally:
            await transaction.rollback()
    finally:
        await connection.close()
    return Declared(by_migrations, by_files)


async def _run_files(connection: asyncpg.Connection[asyncpg.Record], files: list[Path]) -> None:
    for file in files:
        try:
            await connection.execute(file.read_text(encoding="utf-8"))
        except asyncpg.PostgresError as error:
            raise CommandError(
                f"rls_policies/{file.name} failed [{error.sqlstate}]: {error.args[0]}.",
                "Correct the file.",
            ) from error
