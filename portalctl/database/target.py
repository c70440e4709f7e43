"""Which database a command means, how to reach it, and how its errors read."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from local_stack.control import running_environment
from local_stack.errors import SqlFileError, StackError, StackNotRunningError
from local_stack.locations import default_data_dir
from portalctl.exits import CommandError, EnvironmentUnusableError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    Connection = asyncpg.Connection[asyncpg.Record]

CONNECT_TIMEOUT_S = 10.0
TRANSACTION_POOLER_PORT = 6543
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Target:
    """A database that a command works on.

    Attributes:
        url: With its password; never shown.
        origin: Where the URL came from, for messages.
    """

    url: str = field(repr=False)
    origin: str

    @property
    def host(self) -> str:
        """The host name or address."""
        return urlsplit(self.url).hostname or "localhost"

    @property
    def is_local(self) -> bool:
        """Whether the database is on this machine."""
        return self.host in LOOPBACK

    @property
    def name(self) -> str:
        """Host, port and database name: what may be shown."""
        parts = urlsplit(self.url)
        return f"{self.host}:{parts.port or 5432}{parts.path or '/postgres'}"

    def with_settings(self, **settings: str) -> str:
        """Return the URL with session defaults that `reset all` returns to."""
        parts = urlsplit(self.url)
        query = dict(parse_qsl(parts.query)) | settings
        return urlunsplit(parts._replace(query=urlencode(query)))


def choose_target(
    db_url: str | None, data: Path | None, environment: Mapping[str, str], here: Path
) -> Target:
    """Return the named database, else SUPABASE_DB_URL, else the running stack of the folder.

    Args:
        db_url: The option --db-url.
        data: The option --data: folder of a running stack; goes before the environment.
        environment: Variables of the process.
        here: The current folder, whose default data folder is asked last.

    Raises:
        UsageError: The URL is none of PostgreSQL, or both options were given.
        EnvironmentUnusableError: There is no URL and no stack runs.
    """
    if db_url is not None and data is not None:
        raise UsageError("--db-url and --data both name a database.", "Drop one.")
    if db_url is not None:
        return _checked(db_url, "--db-url")
    if data is None and environment.get("SUPABASE_DB_URL"):
        return _checked(environment["SUPABASE_DB_URL"], "SUPABASE_DB_URL")
    folder = data.absolute() if data is not None else default_data_dir(here)
    try:
        url = running_environment(folder)["SUPABASE_DB_URL"]
    except StackNotRunningError as error:
        raise EnvironmentUnusableError(
            f"There is no database to work on: no stack runs on {folder}.",
            "Start one with `portalctl up`, or name a database with --db-url or SUPABASE_DB_URL.",
        ) from error
    return _checked(url, f"the stack in {folder}")


def _checked(url: str, origin: str) -> Target:
    form = "Its form is postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"The URL of {origin} has no valid port or host.", form) from error
    if parts.scheme not in {"postgresql", "postgres"} or not parts.hostname:
        raise UsageError(f"{origin} is not the URL of a PostgreSQL database.", form)
    if port == TRANSACTION_POOLER_PORT:
        raise UsageError(
            f"{origin} leads to the transaction pooler (port {TRANSACTION_POOLER_PORT}), "
            "which keeps no session.",
            "Use the direct connection or the session pooler (port 5432).",
        )
    target = Target(url, origin)
    if not target.is_local and "sslmode" not in dict(parse_qsl(parts.query)):
        # A password goes over the network: unencrypted only if somebody asks for it by name.
        target = Target(target.with_settings(sslmode="require"), origin)
    return target


@asynccontextmanager
async def connected(target: Target, *, statement_timeout_s: int = 60) -> AsyncIterator[Connection]:
    """Connect; close at the end. Errors are raised as they are: see `database_errors`."""
    connection = await asyncpg.connect(
        target.url,
        timeout=CONNECT_TIMEOUT_S,
        server_settings={
            "application_name": "portalctl",
            "statement_timeout": f"{statement_timeout_s}s",
        },
    )
    try:
        yield connection
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)


@contextmanager
def database_errors(target: Target) -> Iterator[None]:
    """Turn what goes wrong with a database into one line and an exit code."""
    try:
        yield
    except SqlFileError as error:
        raise CommandError(_one_line(error)) from error
    except StackError as error:
        raise EnvironmentUnusableError(_one_line(error)) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise _refused(target, error) from error
    except (OSError, TimeoutError, ssl.SSLError) as error:
        raise EnvironmentUnusableError(
            f"No connection to {target.name} ({target.origin}): {_one_line(error)}.",
            "Check host and port, and that the server runs and lets this machine in.",
        ) from error


def _refused(target: Target, error: Exception) -> CommandError:
    where = f"{target.name} ({target.origin})"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return EnvironmentUnusableError(
            f"{where} refuses the user or the password.", "Check both in the URL."
        )
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return EnvironmentUnusableError(
            f"{where} does not exist.", "Check the name after the last slash of the URL."
        )
    if isinstance(error, asyncpg.LockNotAvailableError):
        return CommandError(
            f"Somebody else holds a lock in {where}: another migration runs, "
            "or a long transaction.",
            "Nothing was changed; wait for it to end and run this again.",
        )
    if isinstance(error, asyncpg.QueryCanceledError):
        return CommandError(
            f"A statement in {where} ran into the statement timeout.",
            "Nothing of it was kept; run again when the database is less busy, "
            "or with a longer --statement-timeout.",
        )
    if isinstance(error, asyncpg.InterfaceError):
        return UsageError(f"The URL of {target.origin} cannot be used: {_one_line(error)}.")
    sqlstate = getattr(error, "sqlstate", None)
    return CommandError(f"{where} answered [{sqlstate}]: {_one_line(error)}.")


def _one_line(error: BaseException) -> str:
    text = " | ".join(part.strip() for part in str(error).splitlines() if part.strip())
    return text.rstrip(".") or type(error).__name__
