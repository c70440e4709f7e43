"""`portalctl db push|status|reset|psql`: migrations of any Supabase database."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl, unquote, urlsplit

import typer

from portalctl import console
from portalctl.exits import CommandError, EnvironmentUnusableError, ExitCode, UsageError

if TYPE_CHECKING:
    from local_stack.postgres.migrate import MigrationPlan
    from portalctl.database.push import Timeouts
    from portalctl.database.target import Target

DbUrlOption = Annotated[
    str | None,
    typer.Option(
        "--db-url",
        help="URL of the database.",
        show_default="SUPABASE_DB_URL, else the stack that runs here",
        metavar="URL",
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder of a running stack.", metavar="DIR"),
]
ProjectOption = Annotated[
    Path | None,
    typer.Option("--project", help="Folder with supabase/migrations.", metavar="DIR"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on one line.")]


def register(app: typer.Typer) -> None:
    """Mount the commands."""
    group = typer.Typer(no_args_is_help=True, help="Apply and inspect the migrations.")
    group.command("push")(push)
    group.command("status")(status)
    group.command("reset")(reset)
    group.command(
        "psql", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
    )(psql)
    app.add_typer(group, name="db")


def choose(db_url: str | None, data: Path | None) -> Target:
    """Return the database that the options and the environment name."""
    from portalctl.database.target import choose_target  # noqa: PLC0415 - see commands/__init__

    return choose_target(db_url, data, os.environ, Path.cwd())


def project_folder(project: Path | None) -> Path:
    """Return the project that the options name."""
    from portalctl.database.project import find_project  # noqa: PLC0415 - see commands/__init__

    return find_project(project, Path.cwd())


def push(
    *,
    db_url: DbUrlOption = None,
    data: DataOption = None,
    project: ProjectOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = (
        False
    ),
    include_all: Annotated[
        bool, typer.Option("--include-all", help="Also files older than the newest applied one.")
    ] = False,
    include_seed: Annotated[
        bool, typer.Option("--include-seed", help="Load supabase/seed.sql afterwards, once.")
    ] = False,
    lock_timeout_s: Annotated[
        int, typer.Option("--lock-timeout", min=1, help="Seconds to wait for a lock.")
    ] = 5,
    statement_timeout_s: Annotated[
        int, typer.Option("--statement-timeout", min=1, help="Seconds that one statement may take.")
    ] = 600,
    as_json: JsonOption = False,
) -> int:
    """Apply the migrations that the database does not have, oldest first."""
    from portalctl.database.push import (  # noqa: PLC0415 - see commands/__init__
        Timeouts,
        plan_as_json,
    )

    target, folder = choose(db_url, data), project_folder(project)
    plan, seeded = asyncio.run(
        _push(
            target,
            folder,
            Timeouts(lock_timeout_s, statement_timeout_s),
            dry_run=dry_run,
            include_all=include_all,
            include_seed=include_seed,
        )
    )
    _warn(plan)
    if as_json:
        answer = plan_as_json(plan, target=target)
        console.write_json({**answer, "dry_run": dry_run, "seeded": seeded})
        return ExitCode.OK
    word = "Would apply" if dry_run else "Applied"
    if dry_run:
        for migration in plan.pending:
            console.stdout().out(migration.file, highlight=False)
    console.stderr().print(_summary(word, len(plan.pending), target))
    return ExitCode.OK


async def _push(
    target: Target,
    project: Path,
    timeouts: Timeouts,
    *,
    dry_run: bool,
    include_all: bool,
    include_seed: bool,
) -> tuple[MigrationPlan, bool]:
    from portalctl.database import push as driver  # noqa: PLC0415 - see commands/__init__
    from portalctl.database.target import database_errors  # noqa: PLC0415 - see commands/__init__

    migrations = project / "supabase" / "migrations"
    with database_errors(target):
        await driver.check_platform(target)
        if dry_run:
            plan = await driver.compare(target, migrations)
            if plan.out_of_order and not include_all:
                raise CommandError(
                    f"{plan.out_of_order[0]} is older than the newest migration of the database.",
                    "Give it a newer timestamp, or add --include-all.",
                )
            return plan, False
        with console.steps("applying") as show:
            plan = await driver.push(
                target,
                migrations,
                timeouts,
                include_all=include_all,
                on_progress=lambda migration, number, count: show(migration.file, number, count),
            )
        seeded = include_seed and await driver.seed(target, project / "supabase" / "seed.sql")
    return plan, seeded


def _summary(word: str, count: int, target: Target) -> str:
    if count == 0:
        return f"Nothing to apply: {target.name} is up to date."
    return f"{word} {count} migration{'' if count == 1 else 's'} to {target.name}."


def _warn(plan: MigrationPlan) -> None:
    from portalctl.database.push import plan_warnings  # noqa: PLC0415 - see commands/__init__

    for warning in plan_warnings(plan):
        console.stderr().print(f"Warning: {warning}", style="yellow")


def status(
    *,
    db_url: DbUrlOption = None,
    data: DataOption = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> int:
    """Compare the migrations with the database; exit code 1 when they differ."""
    from portalctl.database import push as driver  # noqa: PLC0415 - see commands/__init__
    from portalctl.database.target import database_errors  # noqa: PLC0415 - see commands/__init__

    target, folder = choose(db_url, data), project_folder(project)
    with database_errors(target):
        plan = asyncio.run(driver.compare(target, folder / "supabase" / "migrations"))
    clean = not (plan.pending or plan.edited or plan.unknown)
    if as_json:
        console.write_json({**driver.plan_as_json(plan, target=target), "up_to_date": clean})
    else:
        out = console.stdout()
        for migration in plan.pending:
            late = " (older than the newest applied)" if migration.file in plan.out_of_order else ""
            out.out(f"pending  {migration.file}{late}", highlight=False)
        word = "up to date" if clean else "not up to date"
        out.out(
            f"{word}: {len(plan.applied)} applied, {len(plan.pending)} pending, {target.name}",
            highlight=False,
        )
        _warn(plan)
    return ExitCode.OK if clean else ExitCode.FAILURE


def reset(
    *,
    db_url: DbUrlOption = None,
    data: DataOption = None,
    project: ProjectOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Really delete everything.")] = False,
    confirm_host: Annotated[
        str | None,
        typer.Option(help="Host of the database, needed when it is not on this machine."),
    ] = None,
    seed: Annotated[bool, typer.Option(help="Load supabase/seed.sql afterwards.")] = True,
    as_json: JsonOption = False,
) -> int:
    """Delete tables, functions, policies and users, then apply every migration again."""
    from portalctl.database.push import plan_as_json  # noqa: PLC0415 - see commands/__init__

    target, folder = choose(db_url, data), project_folder(project)
    if not yes:
        raise UsageError(f"This deletes every row and user of {target.name}.", "Add --yes.")
    if not target.is_local and confirm_host != target.host:
        raise UsageError(
            f"{target.name} is not on this machine; its data would be lost for good.",
            f"If that is meant, add --confirm-host {target.host}",
        )
    plan, seeded = asyncio.run(_reset(target, folder, seed=seed))
    if as_json:
        console.write_json({**plan_as_json(plan, target=target), "seeded": seeded})
    else:
        console.stderr().print(_summary("Emptied; applied", len(plan.pending), target))
    return ExitCode.OK


async def _reset(target: Target, project: Path, *, seed: bool) -> tuple[MigrationPlan, bool]:
    from portalctl.database import push as driver  # noqa: PLC0415 - see commands/__init__
    from portalctl.database.reset import empty  # noqa: PLC0415 - see commands/__init__
    from portalctl.database.target import database_errors  # noqa: PLC0415 - see commands/__init__

    with database_errors(target):
        await driver.check_platform(target)
        await empty(target)
    return await _push(
        target, project, driver.Timeouts(), dry_run=False, include_all=False, include_seed=seed
    )


def psql(context: typer.Context, *, db_url: DbUrlOption = None, data: DataOption = None) -> None:
    """Open psql on the database; further words go to psql, for example -c 'select 1'."""
    target = choose(db_url, data)
    program = shutil.which("psql") or _wheel_psql()
    # By variables: the arguments of a process can be read by everybody on the machine.
    os.execve(  # noqa: S606 - replaces this process, so signals and the terminal are psql's
        program, [program, *context.args], {**os.environ, **psql_variables(target.url)}
    )


def psql_variables(url: str) -> dict[str, str]:
    """Return libpq's variables for a URL."""
    parts = urlsplit(url)
    values = {
        "PGHOST": parts.hostname,
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or "postgres"),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")) or "postgres",
        "PGSSLMODE": dict(parse_qsl(parts.query)).get("sslmode"),
        "PGAPPNAME": "portalctl psql",
    }
    return {name: value for name, value in values.items() if value}


def _wheel_psql() -> str:
    from local_stack.errors import StackError  # noqa: PLC0415 - see commands/__init__
    from local_stack.postgres.binaries import wheel_install  # noqa: PLC0415 - see commands/__init__

    advice = "Install it, for example with `apt-get install postgresql-client`."
    try:
        program = wheel_install() / "bin" / "psql"
    except StackError as error:
        raise EnvironmentUnusableError("psql is not installed.", advice) from error
    if not program.exists():
        raise EnvironmentUnusableError("psql is not installed.", advice)
    return str(program)
