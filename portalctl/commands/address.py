"""Which project and which portal user a command means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

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


def find_address(url: str | None, data: Path | None) -> tuple[str | None, str | None]:
    """Return address and key: the option's, the environment's, else the running stack's.

    Returns:
        None and None where none of them is there.

    Raises:
        UsageError: The address has no scheme.
    """
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
