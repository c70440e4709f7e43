"""`portalctl doctor`: examine a project, local or hosted; each finding says what to do."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from portalctl import console
from portalctl.commands.db import DataOption, DbUrlOption, JsonOption, ProjectOption, choose
from portalctl.commands.db import project_folder as find_folder
from portalctl.exits import EnvironmentUnusableError, ExitCode, UsageError

if TYPE_CHECKING:
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
    url: Annotated[
        str | None,
        typer.Option(help="The project's address.", show_default="SUPABASE_URL, else the stack's"),
    ] = None,
    email: Annotated[
        str | None,
        typer.Option(envvar="PORTAL_EMAIL", help="A portal user; the password: PORTAL_PASSWORD."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Examine a project: keys, migrations, row level security, feed, Realtime, a live round trip.

    Nothing is changed. Exit code 1 when there is a problem; warnings and skipped checks are none.
    """
    from portalctl.database.target import (  # noqa: PLC0415 - see commands/__init__
        Target,
        database_errors,
    )
    from portalctl.doctor.examination import Patient, examine  # noqa: PLC0415 - the same

    target = _database(db_url, data)
    address, key = _address(url, data)
    folder = find_folder(project)
    patient = Patient(target, folder / "supabase" / "migrations", address, key, _login(email))
    report = _ignore if as_json else _print
    with database_errors(target or Target("postgresql://localhost", "no database")):
        findings = asyncio.run(examine(patient, report))
    problems = sum(finding.verdict == "problem" for finding in findings)
    if as_json:
        listed = [asdict(finding) for finding in findings]
        console.write_json({"problems": problems, "findings": listed})
    else:
        word = "No problem found." if not problems else f"{problems} to mend."
        console.stderr().print(word)
    return ExitCode.FAILURE if problems else ExitCode.OK


def _database(db_url: str | None, data: Path | None) -> Target | None:
    try:
        return choose(db_url, data)
    except EnvironmentUnusableError:
        if os.environ.get("SUPABASE_URL"):
            return None
        raise


def _address(url: str | None, data: Path | None) -> tuple[str | None, str | None]:
    """Return URL and key: the option's, the environment's, else those of the running stack."""
    from local_stack.control import running_environment  # noqa: PLC0415 - see commands/__init__
    from local_stack.errors import StackNotRunningError  # noqa: PLC0415 - the same
    from local_stack.locations import default_data_dir  # noqa: PLC0415 - the same

    variables = {name: os.environ.get(name) for name in ("SUPABASE_URL", "SUPABASE_ANON_KEY")}
    key = os.environ.get("SUPABASE_PUBLISHABLE_KEY") or variables["SUPABASE_ANON_KEY"]
    address = url or (None if data else variables["SUPABASE_URL"])
    if address is None:
        try:
            found = running_environment(data.absolute() if data else default_data_dir(Path.cwd()))
        except StackNotRunningError:
            return None, None
        return found["SUPABASE_URL"], found["SUPABASE_PUBLISHABLE_KEY"]
    if not address.startswith(("http://", "https://")):
        raise UsageError(f"{address!r} is no address.", "Its form is https://<ref>.supabase.co.")
    return address.rstrip("/"), key


def _login(email: str | None) -> tuple[str, str] | None:
    if email is None:
        return None
    password = os.environ.get("PORTAL_PASSWORD")
    if not password:
        raise UsageError("There is no password for --email.", "Put it in PORTAL_PASSWORD.")
    return email, password


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
