"""`portalctl rls check|bundle|report`: who may do what, and whether all sources agree on it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from portalctl import console
from portalctl.commands.db import (
    DataOption,
    DbUrlOption,
    JsonOption,
    ProjectOption,
    choose,
    project_folder,
)
from portalctl.exits import ExitCode, UsageError

if TYPE_CHECKING:
    from portalctl.database.report import Finding
    from portalctl.database.target import Target

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


class ReportFormat(StrEnum):
    """How the report is printed."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Mount the commands."""
    group = typer.Typer(no_args_is_help=True, help="Check and report row level security.")
    group.command("check")(check)
    group.command("bundle")(bundle)
    group.command("report")(report)
    app.add_typer(group, name="rls")


def check(
    *,
    db_url: DbUrlOption = None,
    data: DataOption = None,
    project: ProjectOption = None,
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Compare rls_policies and migrations alone.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Find drift between rls_policies, migrations and a database; exit code 1 when there is any.

    The database is only read. What the project says is built in a scratch server.
    """
    from portalctl.database import check as checker  # noqa: PLC0415 - see commands/__init__
    from portalctl.database.target import (  # noqa: PLC0415 - see commands/__init__
        Target,
        database_errors,
    )

    if files_only and (db_url or data):
        raise UsageError("--files-only asks no database.", "Drop it or the database.")
    folder = project_folder(project)
    target = None if files_only else choose(db_url, data)
    console.stderr().print("… building what the project says in a scratch server", style="dim")
    with (
        database_errors(target or Target("postgresql://localhost", "the scratch server")),
        console.steps("building", lines=False) as show,
    ):
        found = asyncio.run(checker.check(folder, target, show))
    if as_json:
        listed = [
            {**asdict(item.fact), "only_in": item.only_in, "missing_in": item.missing_in}
            for item in found
        ]
        console.write_json({"drift": bool(found), "differences": listed})
    else:
        for item in found:
            console.stdout().out(str(item), highlight=False)
        sides = "rls_policies and migrations" + (f" and {target.name}" if target else "")
        word = f"{len(found)} differences between" if found else "No drift between"
        console.stderr().print(f"{word} {sides}.")
    return ExitCode.FAILURE if found else ExitCode.OK


def bundle(
    name: Annotated[str, typer.Argument(help="What changes, in lower case: grant_notes.")],
    *,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write a migration from the files of rls_policies that changed."""
    from portalctl.database import bundle as bundler  # noqa: PLC0415 - see commands/__init__
    from portalctl.database.target import (  # noqa: PLC0415 - see commands/__init__
        Target,
        database_errors,
    )

    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} is no name for a migration.", "Use lower-case letters, digits and _."
        )
    folder = project_folder(project)
    with (
        database_errors(Target("postgresql://localhost", "the scratch server")),
        console.steps("building", lines=False) as show,
    ):
        written = asyncio.run(bundler.bundle(folder, name, datetime.now(UTC), show))
    if as_json:
        console.write_json({"file": str(written) if written else None})
    elif written is None:
        console.stderr().print("Nothing to write: the migrations say what rls_policies says.")
    else:
        console.stdout().out(str(written), highlight=False)
    return ExitCode.OK


def report(
    *,
    db_url: DbUrlOption = None,
    data: DataOption = None,
    form: Annotated[
        ReportFormat, typer.Option("--format", help="table, markdown or json.")
    ] = ReportFormat.TABLE,
    as_json: JsonOption = False,
) -> int:
    """Print who can do what on every table, found by trying it and rolling it back."""
    from portalctl.database.report_text import (  # noqa: PLC0415 - see commands/__init__
        as_markdown,
        as_table,
    )
    from portalctl.database.target import database_errors  # noqa: PLC0415 - see commands/__init__

    target = choose(db_url, data)
    with database_errors(target):
        findings = asyncio.run(_report(target))
    if as_json or form is ReportFormat.JSON:
        listed = [asdict(finding) for finding in findings]
        console.write_json({"database": target.name, "findings": listed})
    elif form is ReportFormat.MARKDOWN:
        console.stdout().out(as_markdown(findings), highlight=False)
    else:
        console.stdout().print(as_table(findings), soft_wrap=False)
    return ExitCode.OK


async def _report(target: Target) -> list[Finding]:
    from portalctl.database.report import report as find  # noqa: PLC0415 - see commands/__init__
    from portalctl.database.target import connected  # noqa: PLC0415 - see commands/__init__

    async with connected(target) as connection:
        with console.steps("trying") as show:
            return await find(connection, show)
