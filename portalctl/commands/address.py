"""Which project and which portal user a command means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from portalctl.exits import UsageError

UrlOption = Annotated[
    str | None,
    typer.Option(help="The project's address.", show_default="SUPABASE_URL, else the stack's"),
]
EmailOption = Annotated[
    str | None,
    typer.Option(envvar="PORTAL_EMAIL", help="A portal user; the password: PORTAL_PASSWORD."),
]


def find_address(
    url: str | None, data: Path | None, *, or_stack: bool = True
) -> tuple[str | None, str | None]:
    """Return address and key: the option's, the environment's, else the running stack's.

    Args:
        url: The option --url.
        data: The option --data: folder of a running stack; goes before the environment.
        or_stack: False: the stack that happens to run here is not meant.

    Returns:
        None and None where none of them is there.

    Raises:
        UsageError: The address is none.
    """
    from local_stack.control import running_environment  # noqa: PLC0415 - see commands/__init__
    from local_stack.errors import StackNotRunningError  # noqa: PLC0415 - the same
    from local_stack.locations import default_data_dir  # noqa: PLC0415 - the same

    address = named_address(url, data)
    if address is not None:
        key = os.environ.get("SUPABASE_PUBLISHABLE_KEY") or os.environ.get("SUPABASE_ANON_KEY")
        return address, key
    if data is None and not or_stack:
        return None, None
    try:
        found = running_environment(data.absolute() if data else default_data_dir(Path.cwd()))
    except StackNotRunningError:
        return None, None
    return found["SUPABASE_URL"], found["SUPABASE_PUBLISHABLE_KEY"]


def named_address(url: str | None, data: Path | None) -> str | None:
    """Return the address of the option, else the environment's unless --data goes before it.

    Raises:
        UsageError: It is no address.
    """
    address = url or (None if data else os.environ.get("SUPABASE_URL"))
    if not address:
        return None
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is none, or a bracket is not closed
        is_address = False
    if not is_address:
        raise UsageError(f"{address!r} is no address.", "Its form is https://<ref>.supabase.co.")
    return address.rstrip("/")


def read_login(email: str | None) -> tuple[str, str] | None:
    """Return e-mail and password; the password comes from the environment alone.

    Raises:
        UsageError: There is no password.
    """
    if email is None:
        return None
    password = os.environ.get("PORTAL_PASSWORD")
    if not password:
        raise UsageError("There is no password for --email.", "Put it in PORTAL_PASSWORD.")
    return email, password
