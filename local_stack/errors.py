"""Errors of the local stack.

::

    StackError
    ├── StackConfigError (+ ValueError)      a setting cannot work; nothing was started
    ├── FolderError                          path
    │   ├── FolderInUseError                 pid, ports: another stack runs on this folder
    │   ├── FolderUnreachableError           the database account cannot enter the folder
    │   ├── DamagedDataError                 a database that was complete is not any more
    │   └── DataVersionError                 found, wanted: made by another PostgreSQL major
    ├── PortTakenError                       port
    ├── PortForbiddenError                   port: this user may not listen on it
    ├── HostUnusableError                    host: no address of this machine
    ├── PostgresError                        log_tail
    │   ├── BinariesNotFoundError
    │   ├── InitdbError
    │   └── PostgresStartError
    ├── SqlFileError                         file, sqlstate: a bootstrap, migration or seed failed
    │   ├── BootstrapError
    │   ├── MigrationError
    │   └── SeedError
    └── StackNotRunningError                 path

Every message is one sentence about what is wrong and one about what to do. Messages and
attributes are safe to log: no passwords, keys or row data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class StackError(Exception):
    """Root of everything the local stack raises on purpose."""


class StackConfigError(StackError, ValueError):
    """A setting cannot work; nothing was started."""


class FolderError(StackError):
    """Something is wrong with a data folder.

    Attributes:
        path: The folder the message is about.
    """

    def __init__(self, path: Path, message: str) -> None:
        self.path = path
        super().__init__(message)


class FolderInUseError(FolderError):
    """Another stack runs on this folder.

    Attributes:
        pid: Process id of that stack, None when it could not be read.
        api_port: Its API port, None while it is still starting.
        database_port: Its PostgreSQL port, None while it is still starting.
    """

    def __init__(
        self, path: Path, *, pid: int | None, api_port: int | None, database_port: int | None
    ) -> None:
        self.pid = pid
        self.api_port = api_port
        self.database_port = database_port
        who = f"process {pid}" if pid is not None else "another process"
        where = (
            f" (API on port {api_port}, PostgreSQL on port {database_port})"
            if api_port is not None
            else " (still starting)"
        )
        super().__init__(
            path,
            f"The data folder {path} is in use by a stack that runs as {who}{where}. "
            "Use that one, stop it with `portalctl stop`, or name another folder with --data.",
        )


class FolderUnreachableError(FolderError):
    """The unprivileged account that runs PostgreSQL cannot enter the folder."""

    def __init__(self, path: Path, account: str) -> None:
        self.account = account
        super().__init__(
            path,
            f"PostgreSQL refuses to run as root and the account {account!r} cannot enter {path}. "
            "Name a folder with --data whose parent folders everyone may enter, for example "
            "under /var/lib, or start the stack as an ordinary user.",
        )


class DamagedDataError(FolderError):
    """A database that had been complete misses essential files."""

    def __init__(self, path: Path, missing: str) -> None:
        self.missing = missing
        super().__init__(
            path,
            f"The database in {path} was complete once, but {missing} is missing now. Nothing was "
            "changed. Restore the folder from a backup, or start over with "
            "`portalctl reset --yes`.",
        )


class DataVersionError(FolderError):
    """The database was made by another PostgreSQL major version."""

    def __init__(self, path: Path, *, found: str, wanted: str) -> None:
        self.found = found
        self.wanted = wanted
        super().__init__(
            path,
            f"The database in {path} was made by PostgreSQL {found}; this stack runs PostgreSQL "
            f"{wanted}. Nothing was changed. Name another folder with --data, or dump the data "
            f"with PostgreSQL {found} and load it into a new folder.",
        )


class PortTakenError(StackError):
    """A port that was asked for by number is in use."""

    def __init__(self, port: int, purpose: str) -> None:
        self.port = port
        super().__init__(
            f"Port {port} for {purpose} is in use by another program. "
            "Name another port, or 0 for a free one."
        )


class PortForbiddenError(StackError):
    """A port that was asked for by number is not for this user to take."""

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(
            f"This user may not listen on port {port}; the low ones are the administrator's. "
            "Name one above 1023, or 0 for a free one."
        )


class HostUnusableError(StackError):
    """The API was told to listen on an address that this machine does not have."""

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"This machine has no address {host} to listen on. Leave the host out for this machine "
            "alone, or name one of its addresses."
        )


class PostgresError(StackError):
    """PostgreSQL could not be found, made or started.

    Attributes:
        log_tail: The last lines that PostgreSQL printed, "" when there are none.
    """

    def __init__(self, message: str, log_tail: str = "") -> None:
        self.log_tail = log_tail
        super().__init__(f"{message}\n{log_tail}" if log_tail else message)


class BinariesNotFoundError(PostgresError):
    """No usable PostgreSQL binaries are installed."""


class InitdbError(PostgresError):
    """Making a new database cluster failed."""


class PostgresStartError(PostgresError):
    """The server ended, or did not answer in time, while starting."""


class SqlFileError(StackError):
    """A file of SQL failed; nothing of that file was kept.

    Attributes:
        file: Name of the file.
        sqlstate: PostgreSQL's error code, None when the file never reached the server.
    """

    kind = "SQL file"

    def __init__(self, file: str, detail: str, sqlstate: str | None = None) -> None:
        self.file = file
        self.sqlstate = sqlstate
        code = f" [{sqlstate}]" if sqlstate else ""
        super().__init__(f"{self.kind} {file} failed{code}: {detail}")


class BootstrapError(SqlFileError):
    """A file that builds the Supabase-like platform failed."""

    kind = "Bootstrap file"


class MigrationError(SqlFileError):
    """A migration failed or is named wrongly."""

    kind = "Migration"


class SeedError(SqlFileError):
    """The seed file failed."""

    kind = "Seed file"


class StackNotRunningError(StackError):
    """No stack runs on the folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"No stack is running on {path}. Start one with `portalctl up`, "
            "or name its folder with --data."
        )
