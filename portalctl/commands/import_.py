"""`portalctl import`: bring a CSV file or a published spreadsheet into the CRM, and keep step."""

from __future__ import annotations

import asyncio
import csv
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from portalctl import console
from portalctl.exits import CommandError, EnvironmentUnusableError, ExitCode, UsageError
from portalctl.imports.known_lines import KnownLines, default_path, keys_of
from portalctl.imports.sheet import is_address, read_sheet

if TYPE_CHECKING:
    from crm_service.client import CrmClient
    from crm_service.errors import CrmProblemError
    from portalctl.staff_session import StaffSession

_INTERVAL = re.compile(r"^(\d{1,6})(s|m|h)$")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_UNAUTHORIZED = 401
_SHOWN = 20


class _SignInEndedError(CommandError):
    """The service does not accept the access token any more."""


@dataclass
class _Job:
    """What is imported, and which lines the file had last time."""

    kind: Literal["customers", "leads", "jobs"]
    source: str
    query: dict[str, Any]
    key_column: str | None
    as_json: bool
    errors: Path | None
    known: KnownLines

    @property
    def dry_run(self) -> bool:
        """Whether nothing is written."""
        return self.query["dry_run"] is not None


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command("import")(import_csv)


def import_csv(
    kind: Annotated[str, typer.Argument(help="customers, leads or jobs.")],
    source: Annotated[str, typer.Argument(help="A CSV file in UTF-8, or its http(s) address.")],
    *,
    url: Annotated[
        str, typer.Option(envvar="CRM_URL", help="Address of crm_service.")
    ] = "http://127.0.0.1:8000",
    token: Annotated[
        str,
        typer.Option(
            envvar="CRM_TOKEN",
            help="Access token of a signed-in member of staff; good for an hour, usually.",
        ),
    ] = "",
    email: Annotated[
        str,
        typer.Option(
            envvar="CRM_EMAIL",
            help="Sign in as this member of staff instead, and again when the token ends; needs "
            "CRM_PASSWORD, SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY in the environment.",
        ),
    ] = "",
    key_column: Annotated[
        str | None, typer.Option(help="Header whose values name a line for good.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--map", help="Header=column, where the names differ.")
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="Where the keys come from, if several sheets number their lines alike; jobs find "
            "the customers of the same source.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Check without writing.")] = False,
    every: Annotated[
        str | None, typer.Option(help="Repeat: 30s, 10m, 1h. Needs --key-column.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Where the lines seen are kept, to tell which were removed since; with --every "
            "a file in the user's state folder if not given."
        ),
    ] = None,
    errors: Annotated[
        Path | None, typer.Option(help="Write the lines that failed into this CSV file.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per run on standard output.")
    ] = False,
) -> None:
    """Import a CSV file; only rows that are new or differ are written, none is ever deleted.

    Exits with 1 if a line failed.
    """
    if kind not in ("customers", "leads", "jobs"):
        raise UsageError(f"'{kind}' cannot be imported.", "Use customers, leads or jobs.")
    who = _who(token, email)
    if key_column is None and (every is not None or state is not None):
        raise UsageError(
            "--every and --state need --key-column.", "Without it, lines cannot be found again."
        )
    _refuse_unfit(url, column or [], errors)
    pause_s = interval_s(every) if every is not None else None
    query = {
        "key_column": key_column,
        "map": column or None,
        "dry_run": "true" if dry_run else None,
        "source": origin,
    }
    if state is None and every is not None:
        state = default_path(
            url, kind, _whole(source), key_column or "", *([origin] if origin else [])
        )
    job = _Job(kind, source, query, key_column, as_json, errors, KnownLines(state))  # type: ignore[arg-type]
    try:
        failed = asyncio.run(_run(job, url, who, pause_s))
    except KeyboardInterrupt:
        if pause_s is None and not dry_run:
            console.stderr().print("import: stopped. Import again: it continues.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if failed:
        raise typer.Exit(ExitCode.FAILURE)


def _refuse_unfit(url: str, pairs: list[str], errors: Path | None) -> None:
    """Raise if an option cannot be right, whatever is in the file."""
    if errors is not None and (errors.is_dir() or not os.access(errors.parent, os.W_OK)):
        raise UsageError(f"{errors} cannot be written.", "Name another file with --errors.")
    for pair in pairs:
        if not pair.rpartition("=")[0]:
            raise UsageError(f"--map '{pair}' names no column.", 'Write --map "Header=column".')
    if not is_address(url):
        raise UsageError(f"--url '{url}' is no address.", "It begins with http:// or https://.")


def interval_s(text: str) -> int:
    """Read an interval such as ``10m``; return seconds.

    Raises:
        UsageError: It is none.
    """
    found = _INTERVAL.match(text)
    if found is None or int(found[1]) == 0:
        raise UsageError(f"'{text}' is no interval.", "Write 30s, 10m or 1h.")
    return int(found[1]) * _SECONDS[found[2]]


def _who(token: str, email: str) -> str | StaffSession:
    """Return the access token, or a session that gets one when it is needed."""
    if token:
        return token
    if not email:
        raise UsageError(
            "No access token.", "Set CRM_TOKEN, or CRM_EMAIL and CRM_PASSWORD to sign in."
        )
    from pydantic import SecretStr  # noqa: PLC0415 - see commands/__init__

    from portalctl.staff_session import StaffSession  # noqa: PLC0415 - see commands/__init__

    names = ("SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "CRM_PASSWORD")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise UsageError(f"To sign in, {', '.join(missing)} must be set.")
    url, key, password = (os.environ[name] for name in names)
    return StaffSession(url, key, email, SecretStr(password))


def _whole(source: str) -> str:
    return source if is_address(source) else str(Path(source).resolve())


async def _run(job: _Job, url: str, who: str | StaffSession, pause_s: int | None) -> int:
    from crm_service.client import CrmClient  # noqa: PLC0415 - see commands/__init__

    async with CrmClient(url, who if isinstance(who, str) else who.token) as client:
        if pause_s is None:
            return await _import_once(job, client)
        first = True
        while True:
            try:
                await _import_once(job, client)
            except CommandError as error:
                if _is_final(error, who, first=first):
                    raise
                # A service that is away, a header that somebody renamed, a file that is being
                # replaced: told each time, until it is mended.
                console.write_error("import", error)
            first = False
            await asyncio.sleep(pause_s)


def _is_final(error: CommandError, who: str | StaffSession, *, first: bool) -> bool:
    """Tell whether a watch that met this cannot go on."""
    if isinstance(error, _SignInEndedError):
        if isinstance(who, str):
            return True
        who.end()
    # A mistyped path is told at once, not to an empty room.
    return first and isinstance(error, UsageError)


async def _import_once(job: _Job, client: CrmClient) -> int:
    content = await read_sheet(job.source)
    report = await _send(job, client, content)
    now = keys_of(content, job.key_column) if job.key_column else set()
    removed = job.known.gone_from(now)
    _tell(job, report, removed)
    if not job.dry_run:
        # Only now: what was not told will be told when the import is made up for.
        job.known.remember(now)
    _write_errors(job, report)
    return int(report["failed"])


async def _send(job: _Job, client: CrmClient, content: bytes) -> dict[str, Any]:
    from rich.progress import Progress  # noqa: PLC0415 - see commands/__init__

    from crm_service.errors import CrmProblemError, CrmUnreachableError  # noqa: PLC0415

    key = None if job.key_column else f"import-{hash_of(content)}"
    report: dict[str, Any] = {}
    try:
        screen = console.stderr()
        hidden = job.as_json or not screen.is_terminal
        with Progress(console=screen, disable=hidden, transient=True) as progress:
            task = progress.add_task(job.kind, total=max(content.count(b"\n") - 1, 1))
            async for name, data in client.import_csv(job.kind, content, key=key, **job.query):
                progress.update(task, completed=data["read"])
                if name == "report":
                    report = data
    except CrmProblemError as error:
        raise _refusal(error) from error
    except CrmUnreachableError as error:
        raise EnvironmentUnusableError(str(error), "Import again: it continues.") from error
    if not report:
        raise EnvironmentUnusableError("The import broke off.", "Import again: it continues.")
    return report


def _refusal(error: CrmProblemError) -> CommandError:
    """Return what the user of the command can do about a problem."""
    if error.retryable:
        return EnvironmentUnusableError(error.detail, "Import again: it continues.")
    if error.status == _UNAUTHORIZED and error.code:
        return _SignInEndedError(
            error.detail, "A watch signs in by itself with CRM_EMAIL and CRM_PASSWORD."
        )
    match error.code:
        case "":
            return EnvironmentUnusableError(
                f"The service's address answers {error.status}, and not as crm_service does.",
                "Is --url right?",
            )
        case "body-too-large":
            return CommandError("The file is larger than the service takes.", "Split it.")
        case "idempotency-key-reused":
            return CommandError(
                "This file was imported before, with other options. Nothing was written.",
                "Its lines are there: change them there. With --key-column, a file can be "
                "imported again and again.",
            )
        case _:
            return CommandError(error.detail)


def hash_of(content: bytes) -> str:
    """Return a short name of a file's content."""
    import hashlib  # noqa: PLC0415 - see commands/__init__

    return hashlib.sha256(content).hexdigest()[:40]


def _write_errors(job: _Job, report: dict[str, Any]) -> None:
    if job.errors is None:
        return
    from crm_service.imports.cells import defused  # noqa: PLC0415 - see commands/__init__

    try:
        # With a byte order mark: without one, Excel takes it for text of another time.
        with job.errors.open("w", newline="", encoding="utf-8-sig") as out:
            writer = csv.writer(out)
            names = ("line", "key", "code", "detail")
            writer.writerow(names)
            for problem in report["problems"]:
                writer.writerow([defused(str(problem[name])) for name in names])
    except OSError as error:
        raise EnvironmentUnusableError(
            f"All was imported but what failed, and {job.errors} cannot be written: "
            f"{error.strerror}.",
            "Name another file with --errors.",
        ) from error


def _tell(job: _Job, report: dict[str, Any], removed: list[str]) -> None:
    if job.as_json:
        console.write_json({**report, "removed": removed})
        return
    out = console.stdout()
    counts = ", ".join(
        f"{report[name]} {name}" for name in ("created", "updated", "unchanged", "failed")
    )
    verb = "checked" if report["dry_run"] else "imported"
    out.out(f"{report['read']} lines {verb}: {counts}")
    for problem in report["problems"][:_SHOWN]:
        out.out(f"  line {problem['line']}: {problem['detail']}")
    if report["failed"] > _SHOWN:
        out.out(f"  and {report['failed'] - _SHOWN} more; --errors FILE writes all of them")
    if removed:
        more = f" and {len(removed) - _SHOWN} more" if len(removed) > _SHOWN else ""
        named = ", ".join(removed[:_SHOWN])
        out.out(f"  no longer in the file, and left as they are: {named}{more}")
