"""`portalctl import`: bring a CSV file or a published spreadsheet into the CRM, and keep step."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from portalctl import console
from portalctl.exits import CommandError, EnvironmentUnusableError, ExitCode, UsageError

if TYPE_CHECKING:
    from crm_service.client import CrmClient

_INTERVAL = re.compile(r"^(\d{1,6})(s|m|h)$")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_FETCH_TIMEOUT_S = 60.0
_MAX_BYTES = 33_554_432


@dataclass
class _Job:
    """What is imported, and which keys the file had last time."""

    kind: Literal["customers", "leads", "jobs"]
    source: str
    query: dict[str, Any]
    key_column: str | None
    as_json: bool
    errors: Path | None
    known: set[str] | None = field(default=None)


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
        typer.Option(envvar="CRM_TOKEN", help="Access token of a signed-in member of staff."),
    ] = "",
    key_column: Annotated[
        str | None, typer.Option(help="Header whose values name a line for good.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--map", help="Header=column, where the names differ.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Check without writing.")] = False,
    every: Annotated[
        str | None, typer.Option(help="Repeat: 30s, 10m, 1h. Needs --key-column.")
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
    if not token:
        raise UsageError("No access token.", "Sign in and set CRM_TOKEN, or pass --token.")
    if every is not None and key_column is None:
        raise UsageError("--every needs --key-column.", "Without it, lines cannot be found again.")
    pause_s = interval_s(every) if every is not None else None
    query = {
        "key_column": key_column,
        "map": column or None,
        "dry_run": "true" if dry_run else None,
        "source": None,
    }
    job = _Job(kind, source, query, key_column, as_json, errors)  # type: ignore[arg-type]
    try:
        failed = asyncio.run(_run(job, url, token, pause_s))
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if failed:
        raise typer.Exit(ExitCode.FAILURE)


def interval_s(text: str) -> int:
    """Read an interval such as ``10m``; return seconds.

    Raises:
        UsageError: It is none.
    """
    found = _INTERVAL.match(text)
    if found is None or int(found[1]) == 0:
        raise UsageError(f"'{text}' is no interval.", "Write 30s, 10m or 1h.")
    return int(found[1]) * _SECONDS[found[2]]


def keys_of(content: bytes, key_column: str) -> set[str]:
    """Return the values of the key column of a CSV file; empty if it cannot be read."""
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        return {(row.get(key_column) or "").strip() for row in rows} - {""}
    except (UnicodeDecodeError, csv.Error):
        return set()


async def _run(job: _Job, url: str, token: str, pause_s: int | None) -> int:
    from crm_service.client import CrmClient  # noqa: PLC0415 - see commands/__init__

    async with CrmClient(url, token) as client:
        while True:
            try:
                failed = await _import_once(job, client)
            except EnvironmentUnusableError as error:
                if pause_s is None:
                    raise
                # A spreadsheet or service that is away for a moment does not end the watch.
                console.write_error("import", error)
                failed = 0
            if pause_s is None:
                return failed
            await asyncio.sleep(pause_s)


async def _import_once(job: _Job, client: CrmClient) -> int:
    content = await _read(job.source)
    report = await _send(job, client, content)
    # Only now: an import that broke off will tell of removed lines when it is made up for.
    removed = _removed(job, content)
    _write_errors(job, report)
    _tell(job, report, removed)
    return int(report["failed"])


async def _send(job: _Job, client: CrmClient, content: bytes) -> dict[str, Any]:
    from rich.progress import Progress  # noqa: PLC0415 - see commands/__init__

    from crm_service.errors import CrmProblemError, CrmUnreachableError  # noqa: PLC0415

    key = None if job.key_column else f"import-{hash_of(content)}"
    report: dict[str, Any] = {}
    try:
        with Progress(console=console.stderr(), disable=job.as_json, transient=True) as progress:
            task = progress.add_task(job.kind, total=max(content.count(b"\n") - 1, 1))
            async for name, data in client.import_csv(job.kind, content, key=key, **job.query):
                progress.update(task, completed=data["read"])
                if name == "report":
                    report = data
    except CrmProblemError as error:
        if error.retryable:
            raise EnvironmentUnusableError(error.detail, "Import again: it continues.") from error
        raise CommandError(error.detail) from error
    except CrmUnreachableError as error:
        raise EnvironmentUnusableError(str(error), "Import again: it continues.") from error
    if not report:
        raise EnvironmentUnusableError("The import broke off.", "Import again: it continues.")
    return report


def hash_of(content: bytes) -> str:
    """Return a short name of a file's content."""
    import hashlib  # noqa: PLC0415 - see commands/__init__

    return hashlib.sha256(content).hexdigest()[:40]


async def _read(source: str) -> bytes:
    if not source.startswith(("http://", "https://")):
        try:
            return await asyncio.to_thread(Path(source).read_bytes)
        except OSError as error:
            raise UsageError(f"{source} cannot be read: {error.strerror}.") from error
    import httpx  # noqa: PLC0415 - see commands/__init__

    try:
        async with httpx.AsyncClient(follow_redirects=True, timeout=_FETCH_TIMEOUT_S) as http:
            response = await http.get(source)
            response.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise EnvironmentUnusableError(
            f"The address cannot be fetched ({type(error).__name__}).",
            "Is the spreadsheet published as CSV?",
        ) from error
    if len(response.content) > _MAX_BYTES:
        raise CommandError("The file is larger than 32 MiB.", "Split it.")
    return response.content


def _removed(job: _Job, content: bytes) -> list[str]:
    """Return keys that were in the file at the last run and are not any more."""
    if job.key_column is None:
        return []
    now = keys_of(content, job.key_column)
    gone = sorted((job.known or set()) - now)
    job.known = now
    return gone


def _write_errors(job: _Job, report: dict[str, Any]) -> None:
    if job.errors is None:
        return
    with job.errors.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, ["line", "key", "code", "detail"])
        writer.writeheader()
        writer.writerows(report["problems"])


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
    for problem in report["problems"][:20]:
        out.out(f"  line {problem['line']}: {problem['detail']}")
    if removed:
        out.out(f"  no longer in the file, and left as they are: {', '.join(removed[:20])}")
