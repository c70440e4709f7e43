"""`portalctl watch`: what one customer's portal sees, line by line, as it happens."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from portalctl import console
from portalctl.commands.address import EmailOption, UrlOption, find_address, read_login
from portalctl.commands.db import DataOption, JsonOption
from portalctl.exits import CommandError, EnvironmentUnusableError, ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from portal_sdk import Change, Portal, SyncStatus

_STATES = {"live": "bold green", "catching_up": "yellow", "connecting": "yellow"}
_KINDS = {"insert": "green", "update": "cyan", "delete": "red"}


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command("watch")(watch)


def watch(
    *,
    url: UrlOption = None,
    data: DataOption = None,
    email: EmailOption = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many changes; else at Ctrl-C.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Sign in as a portal user and print every status and every change.

    The milliseconds of a change are from its commit, by the database's clock, to this line, by this
    machine's: they compare two clocks.
    """
    address, key = find_address(url, data)
    if address is not None and key is None:
        raise EnvironmentUnusableError(
            "The project's publishable key is not known.", "Set SUPABASE_PUBLISHABLE_KEY."
        )
    if address is None or key is None:
        raise EnvironmentUnusableError(
            "There is no project to look at.",
            "Start one with `portalctl up`, or set SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY.",
        )
    login = read_login(email)
    if login is None:
        raise UsageError(
            "Nobody is named.", "Name a portal user with --email; the password: PORTAL_PASSWORD."
        )
    try:
        asyncio.run(_watch(address, key, login, count=count, as_json=as_json))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.OK


async def _watch(
    address: str, key: str, login: tuple[str, str], *, count: int | None, as_json: bool
) -> None:
    from portal_sdk import PasswordAuth, Portal  # noqa: PLC0415 - see commands/__init__

    tell_status, tell_change = (_status_json, _change_json) if as_json else (_status, _change)
    async with Portal(address, key, auth=PasswordAuth(*login)) as portal:
        tasks = [
            asyncio.create_task(_follow(portal, tell_status), name="watch-status"),
            asyncio.create_task(_print_changes(portal, tell_change, count), name="watch-changes"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()


async def _print_changes(
    portal: Portal, tell: Callable[[Change[Any]], None], count: int | None
) -> None:
    seen = 0
    async for change in portal.changes():
        tell(change)
        seen += 1
        if seen == count:
            return


async def _follow(portal: Portal, tell: Callable[[SyncStatus], None]) -> None:
    """Tell every status.

    Raises:
        CommandError: The login was refused; waiting does not help.
    """
    statuses = portal.statuses()
    _tell_status(portal.status, tell)
    async for status in statuses:
        _tell_status(status, tell)


def _tell_status(status: SyncStatus, tell: Callable[[SyncStatus], None]) -> None:
    if status.state == "needs_auth":
        raise CommandError(f"{status.last_error or 'The session was refused'}.")
    tell(status)


def _status(status: SyncStatus) -> None:
    line = Text.assemble((f"{status.state}", _STATES.get(status.state, "bold red")))
    if status.state == "live":
        line.append(f" (doorbell: {status.doorbell})", style="dim")
    if status.last_error is not None:
        line.append(f" {status.last_error}", style="dim")
    console.stderr().print(line)


def _change(change: Change[Any]) -> None:
    latency_ms = _latency_ms(change)
    took = "" if latency_ms is None else f" {latency_ms:.0f} ms after its commit"
    changed = ", ".join(_changed_fields(change))
    console.stdout().print(
        Text.assemble(
            (f"{change.kind:6}", _KINDS[change.kind]),
            f" {change.table} {change.record.id}",
            (f" {changed}" if changed else "", "italic"),
            (f" [{change.source}, n = {change.n}{took}]", "dim"),
        )
    )


def _status_json(status: SyncStatus) -> None:
    error = None if status.last_error is None else str(status.last_error)
    console.write_json({"status": status.state, "doorbell": status.doorbell, "error": error})


def _change_json(change: Change[Any]) -> None:
    console.write_json(
        {
            "table": change.table, "kind": change.kind, "id": str(change.record.id), "n": change.n,
            "source": change.source, "changed": _changed_fields(change),
            "latency_ms": _latency_ms(change),
        }
    )  # fmt: skip


def _changed_fields(change: Change[Any]) -> list[str]:
    """Return the names of what an update changed; values may be nobody else's business."""
    if change.kind != "update" or change.previous is None:
        return []
    before, after = change.previous.model_dump(), change.record.model_dump()
    own = {"version", "updated_at"}
    return sorted(name for name in after if after[name] != before.get(name) and name not in own)


def _latency_ms(change: Change[Any]) -> float | None:
    if change.committed_at is None:
        return None
    return round((datetime.now(UTC) - change.committed_at).total_seconds() * 1000, 1)
