"""Turn changed policy files into a migration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import asyncpg

from local_stack.postgres.migrate import apply_migrations
from portalctl.database.drift import compare, file_of, of_files
from portalctl.database.scratch import declare, policy_files, scratch_database
from portalctl.database.security import read_security
from portalctl.exits import CommandError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from portalctl.database.scratch import Declared, Steps
    from portalctl.database.security import Fact

_POLICY_NAME = re.compile(r'^"(?P<name>.*?)" (?:permissive|restrictive) for ', re.DOTALL)
_STAMP = "%Y%m%d%H%M%S"


def next_version(newest: str, now: datetime) -> str:
    """Return a version that is the present time, and never older than the newest file. Pure."""
    return max(now.strftime(_STAMP), str(int(newest or "0") + 1))


def changed_files(declared: Declared) -> list[str]:
    """Return the names of the policy files that say something else than the migrations. Pure."""
    differences = compare(
        of_files(declared.by_files), of_files(declared.by_migrations), "files", "migrations"
    )
    return sorted({file_of(difference.fact.subject) for difference in differences})


def compose(texts: dict[str, str], declared: Declared) -> str:
    """Return the text of the migration. Pure.

    Args:
        texts: Changed policy files by name.
        declared: Both states; policies that only the migrations have are dropped.
    """
    tables = ", ".join(name.removesuffix(".sql") for name in texts)
    parts = [
        f"-- Purpose: the security of {tables} as rls_policies/ says it now.\n"
        f"-- Tables:  {tables}.\n"
        "-- Locks:   access exclusive on each table for the time of the statements; "
        "no rows are read.\n"
        "-- Undo:    put the files back to what they were and bundle again.\n"
        "set lock_timeout = '2s';\n"
        "set statement_timeout = '60s';\n"
    ]
    for name, text in texts.items():
        removed = [
            f"drop policy if exists {_quoted(policy)} on {subject};\n"
            for subject, policy in sorted(_removed_policies(declared))
            if file_of(subject) == name
        ]
        parts.append("".join(removed) + text)
    return "\n".join(parts)


def _removed_policies(declared: Declared) -> set[tuple[str, str]]:
    return _policies(declared.by_migrations) - _policies(declared.by_files)


def _policies(facts: frozenset[Fact]) -> set[tuple[str, str]]:
    matches = ((f.subject, _POLICY_NAME.match(f.text)) for f in facts if f.kind == "policy")
    return {(subject, match["name"]) for subject, match in matches if match is not None}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def bundle(
    project: Path, name: str, now: datetime, on_progress: Steps | None = None
) -> Path | None:
    """Write a migration from the changed files and prove that it gives what they say.

    Returns:
        The new file; None when the migrations already say what the files say.

    Raises:
        CommandError: The migration would not give what the files say; nothing was left behind.
    """
    async with scratch_database() as url:
        declared = await declare(url, project, on_progress)
        changed = changed_files(declared)
        if not changed:
            return None
        present = {file.name: file.read_text(encoding="utf-8") for file in policy_files(project)}
        absent = [file for file in changed if file not in present]
        if absent:
            raise CommandError(
                f"rls_policies has no file {absent[0]}, but the migrations say something about it.",
                "Write the file: row level security, grants, policies.",
            )
        folder = project / "supabase" / "migrations"
        newest = max((file.name[:14] for file in folder.glob("*.sql")), default="")
        target = folder / f"{next_version(newest, now)}_{name}.sql"
        target.write_text(
            compose({file: present[file] for file in changed}, declared), encoding="utf-8"
        )
        try:
            await _prove(url, folder, declared)
        except BaseException:
            target.unlink()
            raise
    return target


async def _prove(url: str, folder: Path, declared: Declared) -> None:
    await apply_migrations(url, folder)
    connection = await asyncpg.connect(url)
    try:
        after = await read_security(connection)
    finally:
        await connection.close()
    left = compare(of_files(declared.by_files), of_files(after), "files", "the new migration")
    if left:
        raise CommandError(
            f"The new migration would not give what the files say: {left[0]}.",
            "A file must hold everything about its table and be repeatable.",
        )
