"""Find drift between policy files, migrations and a live database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portalctl.database.drift import Difference, compare, of_files
from portalctl.database.scratch import NEWEST_MAJOR, declare, scratch_database, scratch_major
from portalctl.database.security import read_security
from portalctl.database.target import connected

if TYPE_CHECKING:
    from pathlib import Path

    from portalctl.database.scratch import Steps
    from portalctl.database.target import Target


async def check(
    project: Path, target: Target | None, on_progress: Steps | None = None
) -> list[Difference]:
    """Return every difference; the live database is only read.

    Args:
        project: Folder with `supabase/` and `rls_policies/`.
        target: Live database; None compares files and migrations alone.
        on_progress: As in `declare`.
    """
    live, major = None, NEWEST_MAJOR
    if target is not None:
        async with connected(target) as connection:
            live = await read_security(connection)
            major = scratch_major(connection.get_server_version().major)
    async with scratch_database(major) as url:
        declared = await declare(url, project, on_progress)
    found = compare(
        of_files(declared.by_files), of_files(declared.by_migrations), "rls_policies", "migrations"
    )
    if live is not None:
        found += compare(declared.by_migrations, live, "migrations", "database")
    return found
