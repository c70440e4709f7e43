"""Where the project's SQL is: the folder that holds `supabase/` and `rls_policies/`."""

from __future__ import annotations

from pathlib import Path

from portalctl.exits import UsageError


def find_project(named: Path | None, here: Path) -> Path:
    """Return the named folder, else the current one, else the product's own.

    Raises:
        UsageError: The folder has no `supabase/migrations`.
    """
    if named is not None:
        if not (named / "supabase" / "migrations").is_dir():
            raise UsageError(
                f"{named} has no folder supabase/migrations.", "Name another with --project."
            )
        return named.absolute()
    package = Path(__file__).resolve().parents[1]
    for candidate in (here, package / "_project", package.parent):
        if (candidate / "supabase" / "migrations").is_dir():
            return candidate
    raise UsageError("There is no folder supabase/migrations here.", "Name it with --project.")
