"""`portalctl up|status|stop|env|logs|reset`: the local stack on the command line."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from portalctl import console
from portalctl.exits import CommandError, EnvironmentUnusableError, ExitCode, UsageError

if TYPE_CHECKING:
    from local_stack.config import LogFormat, LogLevel, PostgresMajor, StackConfig
    from local_stack.errors import StackError
    from local_stack.stack import LocalStack

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder.", show_default="./.portal-sync", metavar="DIR"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on one line.")]


def register(app: typer.Typer) -> None:
    """Mount the commands."""
    app.command("up")(up)
    app.command("status")(status)
    app.command("stop")(stop)
    app.command("env")(env)
    app.command("logs")(logs)
    app.command("reset")(reset)


def up(
    *,
    data: DataOption = None,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Keep nothing: a temporary folder, gone at the end.")
    ] = False,
    host: Annotated[
        str,
        typer.Option(help="Address of the API; anything but loopback lets other machines in."),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="Port of the API, 0 for a free one.", show_default="54321 or the next"),
    ] = None,
    db_port: Annotated[
        int | None,
        typer.Option(help="Port of PostgreSQL, 0 for a free one.", show_default="54322 or next"),
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(
            help="Folder with supabase/migrations.", show_default="here, else the product's own"
        ),
    ] = None,
    seed: Annotated[bool, typer.Option(help="Load supabase/seed.sql into a new database.")] = True,
    postgres: Annotated[
        int, typer.Option("--postgres", help="PostgreSQL of a new folder: 18 or 16.")
    ] = 18,
    log_level: Annotated[
        str, typer.Option(help="Lowest level in the log: debug, info, warning or error.")
    ] = "info",
    log_format: Annotated[str, typer.Option(help="Form of the log: text or json.")] = "text",
    as_json: JsonOption = False,
) -> int:
    """Start the local stack and keep it running until Ctrl-C.

    Prints the SUPABASE_* variables as dotenv lines when it is ready. For development and
    single-machine use: it listens on this machine alone, unless --host says otherwise.
    """
    if ephemeral and data is not None:
        raise UsageError("--ephemeral keeps nothing, so --data has no meaning.", "Drop one.")
    from local_stack.config import (  # noqa: PLC0415 - see commands/__init__
        DEFAULT_API_PORT,
        DEFAULT_DATABASE_PORT,
        StackConfig,
    )

    with stack_errors():
        # A port that was named must be that one; the usual ones give way.
        config = StackConfig(
            data_dir=None if ephemeral else data_folder(data),
            host=host,
            api_port=DEFAULT_API_PORT if port is None else port,
            api_port_strict=port is not None,
            database_port=DEFAULT_DATABASE_PORT if db_port is None else db_port,
            database_port_strict=db_port is not None,
            project_dir=project or _default_project(),
            seed=seed,
            # Checked by StackConfig, whose message names the choices.
            postgres_major=cast("PostgresMajor", postgres),
            log_level=cast("LogLevel", log_level),
            log_format=cast("LogFormat", log_format),
        )
        return _run_up(config, as_json=as_json)


def _run_up(config: StackConfig, *, as_json: bool) -> int:
    import uvloop  # noqa: PLC0415 - see commands/__init__

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, as_json=as_json))


async def _serve(config: StackConfig, *, as_json: bool) -> int:
    """Run the stack until a signal asks to stop it; a signal while starting stops the start."""
    from local_stack.collector import settle_collector  # noqa: PLC0415 - see commands/__init__
    from local_stack.stack import LocalStack  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    running = asyncio.current_task()
    started = False

    def on_signal() -> None:
        stopping.set()
        if not started and running is not None:
            running.cancel()

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal)
    err = console.stderr()
    try:
        async with LocalStack(
            config, lambda step: err.print(f"… {step}", style="dim"), tell_troubles
        ) as stack:
            started = True
            settle_collector()
            _announce(stack, as_json=as_json)
            await _until_stopped(stack, stopping)
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise
        return ExitCode.INTERRUPTED
    err.print("Stopped.", style="dim")
    return ExitCode.OK


def tell_troubles(troubles: tuple[str, ...]) -> None:
    """Say on the terminal what `status` and the log say: what is wrong, and when it is over."""
    err = console.stderr()
    # A full disk is one of the troubles, and may be where standard error goes; a reader that is
    # gone ends a program in rich's view. Neither may end the stack.
    with suppress(OSError, SystemExit):
        if not troubles:
            err.print("All is well again.", style="green")
        for trouble in troubles:
            err.print(f"TROUBLE: {trouble}", style="bold red")


async def _until_stopped(stack: LocalStack, stopping: asyncio.Event) -> None:
    waits: set[asyncio.Task[object]] = {
        asyncio.create_task(stopping.wait(), name="up-stopping"),
        asyncio.create_task(stack.wait_failed(), name="up-failed"),
    }
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _announce(stack: LocalStack, *, as_json: bool) -> None:
    variables = stack.env()
    if as_json:
        facts = {
            "api_url": stack.api_url,
            "api_port": stack.api_port,
            "database_port": stack.database_port,
            "data": str(stack.folder),
            "ephemeral": stack.config.data_dir is None,
            "pid": os.getpid(),
            "notices": stack.notices,
            "env": variables,
        }
        console.write_json(facts)
        return
    _write_dotenv(variables)
    err = console.stderr()
    exposure = stack.config.exposure
    for notice in stack.notices:
        if notice != exposure:
            err.print(f"Note: {notice}", style="yellow")
    kept = "nothing is kept" if stack.config.data_dir is None else f"data in {stack.folder}"
    err.print(f"The stack runs: {stack.api_url} ({kept}).", style="bold green")
    text, style = caution(stack.config)
    err.print(text, style=style)
    err.print("Ctrl-C stops it.", style="dim")


def caution(config: StackConfig) -> tuple[str, str]:
    """Return what the user of a stack is warned of, and the style that says how loudly."""
    if config.exposure is not None:
        return f"WARNING: {config.exposure}", "bold white on red"
    text = "FOR DEVELOPMENT ON THIS MACHINE ONLY. Its keys are test keys; do not expose its ports."
    return text, "bold yellow"


def _write_dotenv(variables: dict[str, str]) -> None:
    out = console.stdout()
    for name, value in variables.items():
        out.out(f"{name}={value}", highlight=False)
    out.file.flush()


def status(*, data: DataOption = None, as_json: JsonOption = False) -> int:
    """Tell whether a stack runs on the data folder, and where."""
    from local_stack import control  # noqa: PLC0415 - see commands/__init__

    folder = data_folder(data)
    with stack_errors():
        state = control.running_stack(folder)
    ready = control.is_ready(state)
    if as_json:
        console.write_json({**asdict(state), "data": str(folder), "ready": ready})
    else:
        word = "ready" if ready else "not ready"
        console.stdout().out(
            f"{word}: API on port {state.api_port}, PostgreSQL on port {state.database_port}, "
            f"process {state.pid}, since {state.started_at}, data in {folder}"
        )
        for trouble in state.troubles:
            console.stderr().print(trouble, style="yellow")
    return ExitCode.OK if ready else ExitCode.FAILURE


def stop(*, data: DataOption = None) -> None:
    """Stop the stack that runs on the data folder."""
    from local_stack import control  # noqa: PLC0415 - see commands/__init__

    with stack_errors():
        state = control.stop_stack(data_folder(data))
    console.stderr().print(f"Stopped the stack that ran as process {state.pid}.")


def env(*, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Print the SUPABASE_* variables of the running stack as dotenv lines."""
    from local_stack import control  # noqa: PLC0415 - see commands/__init__

    with stack_errors():
        variables = control.running_environment(data_folder(data))
    if as_json:
        console.write_json(dict(variables))
    else:
        _write_dotenv(variables)


def logs(
    *,
    data: DataOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Lines of each log.")] = 40,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is added, until Ctrl-C.")
    ] = False,
) -> int:
    """Print the end of the stack's log and of PostgreSQL's."""
    from local_stack.logs import FolderLogs  # noqa: PLC0415 - see commands/__init__

    files = FolderLogs(data_folder(data))
    with stack_errors():
        found = files.tails(lines)
    last = None
    for path, tail in found.items():
        _write_lines(path, tail)
        last = path
    if not follow:
        return ExitCode.OK
    try:
        for path, line in files.follow():
            _write_lines(None if path == last else path, [line])
            last = path
    except KeyboardInterrupt:
        pass
    return ExitCode.OK


def _write_lines(heading: Path | None, lines: list[str]) -> None:
    out = console.stdout()
    if heading is not None:
        out.out(f"==> {heading} <==", highlight=False)
    for line in lines:
        out.out(line, highlight=False)
    out.file.flush()


def reset(
    *,
    data: DataOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Really delete the database.")] = False,
    keys: Annotated[bool, typer.Option("--keys", help="Also make new API keys.")] = False,
) -> None:
    """Delete the data folder's database; the next `up` makes a new one."""
    from local_stack import control  # noqa: PLC0415 - see commands/__init__

    folder = data_folder(data)
    if not yes:
        raise UsageError(f"This deletes the database in {folder} for good.", "Add --yes.")
    with stack_errors():
        deleted = asyncio.run(control.reset_stack(folder, renew_keys=keys))
    word = "Deleted the database in" if deleted else "There was no database in"
    console.stderr().print(f"{word} {folder}.")


def data_folder(data: Path | None) -> Path:
    """Return the data folder that a command is about."""
    from local_stack.locations import default_data_dir  # noqa: PLC0415 - see commands/__init__

    return data.absolute() if data is not None else default_data_dir(Path.cwd())


def _default_project() -> Path | None:
    """Return the project whose migrations are applied: here, in the package, or around it."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (Path.cwd(), package / "_project", package.parent):
        if (candidate / "supabase" / "migrations").is_dir():
            return candidate
    return None


@contextmanager
def stack_errors() -> Iterator[None]:
    """Turn the stack's errors into one line and an exit code."""
    from local_stack.errors import StackError  # noqa: PLC0415 - see commands/__init__

    try:
        yield
    except StackError as error:
        raise _command_error(error) from error


def _command_error(error: StackError) -> CommandError:
    from local_stack.errors import (  # noqa: PLC0415 - see commands/__init__
        SqlFileError,
        StackConfigError,
    )

    line = " | ".join(part.strip() for part in str(error).splitlines() if part.strip())
    if isinstance(error, StackConfigError):
        return UsageError(line)
    if isinstance(error, SqlFileError):
        return CommandError(line)
    return EnvironmentUnusableError(line)
