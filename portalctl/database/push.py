"""Bring a database to the state of `supabase/migrations`, or tell how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.postgres.migrate import apply_migrations, apply_seed, migration_status
from portalctl.database.target import connected
from portalctl.exits import EnvironmentUnusableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local_stack.postgres.migrate import Migration, MigrationPlan
    from portalctl.database.target import Target

OLDEST_MAJOR = 15
_PLATFORM_ROLES = ("anon", "authenticated", "service_role")
_PLATFORM_TABLES = ("auth.users", "realtime.messages")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Session defaults while migrating; a migration may set its own for itself.

    Attributes:
        lock_s: How long to wait for a lock, seconds.
        statement_s: How long one statement may take, seconds.
    """

    lock_s: int = 5
    statement_s: int = 600


async def check_platform(target: Target) -> None:
    """Refuse a database on which the migrations cannot work, before anything is changed.

    Raises:
        EnvironmentUnusableError: It is too old, or lacks what Supabase provides.
    """
    async with connected(target) as connection:
        major = connection.get_server_version().major
        if major < OLDEST_MAJOR:
            raise EnvironmentUnusableError(
                f"{target.name} is PostgreSQL {major}.", f"{OLDEST_MAJOR} or newer is needed."
            )
        roles = {
            row["rolname"]
            for row in await connection.fetch(
                "select rolname from pg_roles where rolname = any ($1)", list(_PLATFORM_ROLES)
            )
        }
        missing = [f"role {role}" for role in _PLATFORM_ROLES if role not in roles]
        absent = await connection.fetch(
            "select t from unnest($1::text[]) as t where to_regclass(t) is null",
            list(_PLATFORM_TABLES),
        )
        missing += [f"table {row['t']}" for row in absent]
    if missing:
        raise EnvironmentUnusableError(
            f"{target.name} is not a Supabase database: it lacks {', '.join(missing)}.",
            "Use a Supabase project, `supabase start`, or `portalctl up`.",
        )


async def push(
    target: Target,
    folder: Path,
    timeouts: Timeouts,
    *,
    include_all: bool = False,
    on_progress: Callable[[Migration, int, int], None] | None = None,
) -> MigrationPlan:
    """Apply what is pending; every migration is one transaction.

    Raises:
        MigrationError: One failed; it left nothing behind, the ones before it stay.
    """
    url = target.with_settings(
        application_name="portalctl",
        lock_timeout=f"{timeouts.lock_s}s",
        statement_timeout=f"{timeouts.statement_s}s",
    )
    return await apply_migrations(url, folder, include_older=include_all, on_progress=on_progress)


async def seed(target: Target, file: Path) -> bool:
    """Load the seed once per database; tell whether it was loaded now."""
    return await apply_seed(target.url, file)


async def compare(target: Target, folder: Path) -> MigrationPlan:
    """Compare folder and database; nothing is changed."""
    return await migration_status(target.url, folder)


def plan_as_json(plan: MigrationPlan, *, target: Target) -> dict[str, object]:
    """Return the plan for machines."""
    return {
        "database": target.name,
        "applied": list(plan.applied),
        "pending": [migration.file for migration in plan.pending],
        "out_of_order": list(plan.out_of_order),
        "edited": list(plan.edited),
        "unknown": list(plan.unknown),
    }


def plan_warnings(plan: MigrationPlan) -> list[str]:
    """Return a sentence for each thing about the history that its owner should know."""
    warnings = [
        f"{file} was edited after it was applied; the database has the old text. "
        "Undo the edit and write a new migration."
        for file in plan.edited
    ]
    warnings += [
        f"The database has migration {version}, which this folder does not have. "
        "Get the newest files before adding your own."
        for version in plan.unknown
    ]
    return warnings
