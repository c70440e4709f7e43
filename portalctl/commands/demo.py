"""`portalctl demo`: replay a working day through the whole product and count every change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portalctl import console
from portalctl.exits import ExitCode, UsageError
from portalctl.stopping import run_until_stopped

if TYPE_CHECKING:
    from portalctl.demo.report import DemoResult
    from portalctl.demo.runner import DemoOptions

_DEFAULT_SECONDS = 18.0
_DEFAULT_PORT = 8_080


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command("demo")(demo)


def demo(
    *,
    actions: Annotated[
        int | None,
        typer.Option(min=10, help="Replay only the first N staff actions of the day."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=3600,
            help="How long the whole recorded day takes in the replay.",
            show_default=f"{_DEFAULT_SECONDS:g}",
        ),
    ] = None,
    day: Annotated[
        Path | None, typer.Option(help="Another recorded day, as JSON lines.", show_default=False)
    ] = None,
    web: Annotated[
        bool,
        typer.Option("--web", help="Instead: a page with staff and two customers, until Ctrl-C."),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            help="With --web: port of the page, 0 for a free one.",
            show_default=str(_DEFAULT_PORT),
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="End with one JSON object on standard output, for machines."),
    ] = False,
) -> None:
    """Replay a working day: 5 staff, 25 customers, one cut of every socket; count every change.

    Starts a stack and a CRM service of its own on free ports and stops them at the end. Exits with
    1 if anything was lost, duplicated, out of order or leaked, or a portal is not live at the end.
    """
    if web:
        if as_json or (actions, seconds, day) != (None, None, None):
            raise UsageError(
                "--web replays nothing.", "Drop --actions, --seconds, --day and --json."
            )
        _serve_page(_DEFAULT_PORT if port is None else port)
        return
    if port is not None:
        raise UsageError("--port goes with --web.", "Add --web, or drop it.")

    from portalctl.demo.day import default_day_path, load_day  # noqa: PLC0415 - see commands/__init__

    whole = load_day(day or default_day_path())
    recorded = whole[:actions]
    share = recorded[-1].at_s / max(whole[-1].at_s, 1.0)

    from portalctl.demo.report import write_problems, write_summary  # noqa: PLC0415
    from portalctl.demo.runner import DemoOptions  # noqa: PLC0415

    result = _run(DemoOptions(recorded, replay_s=(seconds or _DEFAULT_SECONDS) * share))
    if as_json:
        console.write_json(result.as_json())
    else:
        write_summary(result, console.stdout())
    write_problems(result, console.stderr())
    if not result.passed:
        raise typer.Exit(ExitCode.FAILURE)


def _serve_page(port: int) -> None:
    from portalctl.demo.web.runner import run_web_demo  # noqa: PLC0415

    run_until_stopped("demo", lambda: run_web_demo(port, console.stderr()))


def _run(options: DemoOptions) -> DemoResult:
    from portalctl.demo.runner import run_demo  # noqa: PLC0415

    return run_until_stopped("demo", lambda: run_demo(options, console.stderr()))
