"""Settings of one local stack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from local_stack.errors import StackConfigError
from local_stack.ports import HIGHEST_PORT, LOOPBACK, is_loopback, parse_host

DEFAULT_API_PORT = 54_321
DEFAULT_DATABASE_PORT = 54_322
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
PostgresMajor = Literal[16, 18]


@dataclass(frozen=True, slots=True)
class StackConfig:
    """What a local stack is started with.

    Attributes:
        data_dir: Folder that keeps everything; None for a temporary one, forgotten on exit.
        host: Address that the API listens on: one of this machine, or `0.0.0.0` or `::` for all.
            Anything but loopback lets other machines in, without TLS, and is warned of. PostgreSQL
            stays on 127.0.0.1.
        api_port: TCP port of the API; 0 for a free one.
        database_port: TCP port of PostgreSQL on 127.0.0.1; 0 for a free one.
        api_port_strict: A taken port is an error; False takes the next free one and says so.
        database_port_strict: The same for PostgreSQL.
        project_dir: Folder with `supabase/migrations` and `supabase/seed.sql`; None for no project.
        migrate: Apply the project's migrations that the database does not have.
        seed: Load the project's seed file once per database.
        template: Copy a newly made database at the start, so that already the first
            `fresh_database` and `reset_database` take a fraction of a second.
        postgres_major: Which PostgreSQL of the wheel runs a new folder: 18 or 16.
        fsync: Whether commits survive a power failure; None: yes, except when ephemeral.
        log_level: Of the servers' log.
        log_format: Of the servers' log: "text", or "json" for one object per line.
        database_url: Always None: a server of your own cannot be used, and is refused.
    """

    data_dir: Path | None = None
    host: str = LOOPBACK
    api_port: int = 0
    database_port: int = 0
    api_port_strict: bool = True
    database_port_strict: bool = True
    project_dir: Path | None = None
    migrate: bool = True
    seed: bool = True
    template: bool = False
    postgres_major: PostgresMajor = 18
    fsync: bool | None = None
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"
    database_url: str | None = None

    def __post_init__(self) -> None:
        """Refuse settings that cannot work."""
        try:
            object.__setattr__(self, "host", parse_host(self.host))
        except ValueError as error:
            raise StackConfigError(
                f"host must be an IPv4 or IPv6 address of this machine, not {self.host!r}. "
                "Leave it out to listen on this machine alone."
            ) from error
        for name, port in (("api_port", self.api_port), ("database_port", self.database_port)):
            if not 0 <= port <= HIGHEST_PORT:
                raise StackConfigError(f"{name} must be between 0 and {HIGHEST_PORT}, not {port}.")
        if self.api_port and self.api_port == self.database_port:
            raise StackConfigError("api_port and database_port must differ.")
        if self.project_dir is not None and not self.project_dir.is_dir():
            raise StackConfigError(
                f"The project folder {self.project_dir} does not exist. "
                "Name the folder that contains `supabase/`."
            )
        choices = (
            ("log_level", self.log_level, LogLevel),
            ("log_format", self.log_format, LogFormat),
            ("postgres_major", self.postgres_major, PostgresMajor),
        )
        for name, value, allowed in choices:
            if value not in get_args(allowed):
                listed = ", ".join(str(choice) for choice in get_args(allowed))
                raise StackConfigError(f"{name} must be one of {listed}.")
        if self.database_url is not None:
            # The URL may hold a password and is not repeated.
            raise StackConfigError(
                "The stack cannot use a PostgreSQL server of yours: Supabase's roles belong to a "
                "whole server (its `postgres` is no superuser), so the stack would have to change "
                "roles and passwords that others use. Leave database_url out; the stack runs a "
                "server of its own."
            )

    @property
    def exposure(self) -> str | None:
        """What it means that other machines reach the API; None when they do not."""
        if is_loopback(self.host):
            return None
        return (
            f"THE API LISTENS ON {self.host}: every machine that reaches this one can call it, "
            "sign up and try passwords. There is no TLS: whoever is on the way reads keys, "
            "passwords and rows. Leave the host out unless this network is yours."
        )

    @property
    def durable(self) -> bool:
        """Whether commits survive a power failure."""
        return self.data_dir is not None if self.fsync is None else self.fsync
