"""`portalctl doctor`: examine a project, local or hosted; each finding says what to do."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.text import Text

from portalctl import console
from portalctl.commands.address import (
    EmailOption,
    UrlOption,
    find_address,
    named_address,
    read_login,
)
from portalctl.commands.db import (
    DataOption,
    DbUrlOption,
    JsonOption,
    ProjectOption,
    choose,
    project_folder,
)
from portalctl.exits import EnvironmentUnusableError, ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from portalctl.database.target import Target
    from portalctl.doctor.finding import Finding

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red", "skipped": "dim"}
_WIDTH = 18


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command("doctor")(doctor)


def doctor(
    *,
    db_url: DbUrlOption = None,
    data: DataOption = None,
    project: ProjectOption = None,
    url: UrlOption = None,
    email: EmailOption = None,
    as_json: JsonOption = False,
) -> int:
    """Examine a project: keys, migrations, row level security, feed, Realtime, a live round trip.

    No row of the product is changed; with --email and a database, the doctor sends itself 20
    messages by realtime.send. Exit code 1 when there is a problem; warnings and skipped checks are
    none.
    """
    from portalctl.database.target import (  # noqa: PLC0415 - see commands/__init__
        Target,
        database_errors,
    )
    from portalctl.doctor.endpoint import shown_host  # noqa: PLC0415 - the same
    from portalctl.doctor.examination import Patient, examine  # noqa: PLC0415 - the same

    target = _database(db_url, data, named_address(url, data))
    # Where another machine's database is named, the stack that runs here is another project's.
    address, key = find_address(url, data, or_stack=target is None or target.is_local)
    folder = project_folder(project)
    patient = Patient(target, folder / "supabase" / "migrations", address, key, read_login(email))
    names = {
        "database": target.name if target else None,
        "address": shown_host(address) if address else None,
    }
    report = _ignore if as_json else _print
    if not as_json:
        named = " and ".join(name for name in names.values() if name)
        console.stderr().print(f"… examining {named}", style="dim")
    with database_errors(target or Target("postgresql://localhost", "no database")):
        findings = asyncio.run(examine(patient, report))
    problems = sum(finding.verdict == "problem" for finding in findings)
    if as_json:
        listed = [asdict(finding) for finding in findings]
        console.write_json({**names, "problems": problems, "findings": listed})
    else:
        word = "No problem found." if not problems else f"{problems} to mend."
        console.stderr().print(word)
    return ExitCode.FAILURE if problems else ExitCode.OK


def _database(db_url: str | None, data: Path | None, address: str | None) -> Target | None:
    """Return the database of the project that is meant, None where only its address is known."""
    is_named = db_url or data or os.environ.get("SUPABASE_DB_URL")
    if address and not is_named and not _is_local(address):
        return None  # the database of a stack that runs here is another project's
    try:
        return choose(db_url, data)
    except EnvironmentUnusableError:
        if address:
            return None
        raise


def _is_local(address: str) -> bool:
    from portalctl.database.target import LOOPBACK  # noqa: PLC0415 - see commands/__init__

    return urlsplit(address).hostname in LOOPBACK


def _print(finding: Finding) -> None:
    line = Text.assemble(
        (f"{finding.verdict:8}", _STYLES[finding.verdict]),
        f" {finding.subject:{_WIDTH}} {finding.text}",
    )
    if finding.advice:
        line.append(f" {finding.advice}", style="italic")
    console.stdout().print(line)


def _ignore(_finding: Finding) -> None:
    """Machines get all findings at the end, in one object."""
