"""One PostgreSQL server that belongs to the stack: make, start, watch, stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

import asyncpg

from local_stack import ports
from local_stack.errors import (
    FolderUnreachableError,
    InitdbError,
    PortTakenError,
    PostgresStartError,
    StackError,
)
from local_stack.postgres import leftover, process
from local_stack.postgres.account import Account, choose_account, give_to
from local_stack.postgres.binaries import Binaries, find_binaries
from local_stack.postgres.data import DataFolder, DataState
from local_stack.postgres.launcher import EXIT_CANNOT_ENTER

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger("local_stack.postgres")

SUPERUSER = "supabase_admin"
MAINTENANCE = "template1"  # always there, unlike `postgres`, which a reset replaces
POSTGRES_LOG = "postgres.log"
LOG_TAIL_LINES = 20
LOG_ROTATE_BYTES = 20_000_000
PORT_ATTEMPTS = 5
INITDB_TIMEOUT_S = 120
POLL_S = 0.02
# While it starts, recovers or dies, a server refuses, cuts or forgets connections in many ways; the
# deadline and the end of its process tell what came of it.
_NOT_YET = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

DURABLE: Mapping[str, str] = {}
FORGETFUL: Mapping[str, str] = {
    # Commits still reach the operating system, so a killed server loses nothing.
    "fsync": "off",
    "full_page_writes": "off",
}
SETTINGS: Mapping[str, str] = {
    "listen_addresses": ports.LOOPBACK,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_replication_slots": "20",
    "max_wal_senders": "20",
    # An unread slot must not fill the disk.
    "max_slot_wal_keep_size": "1GB",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    # Details and statements quote rows and passwords; who sent them was told.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
# C.UTF-8 sorts by code point everywhere; from 17 on PostgreSQL brings it along.
LOCALE = ("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8")
LOCALE_BEFORE_17 = ("--locale", "C.UTF-8")


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """What a cluster needs to know.

    Attributes:
        folder: Holds `data/`; made when missing, its parent must exist.
        superuser_password: Of `supabase_admin`; the same on every start of a folder.
        port: TCP port on 127.0.0.1, 0 for a free one.
        port_strict: A taken port is an error; False takes the next free one.
        durable: False gives up what survives a crash of the machine, for speed.
        start_timeout_s: Seconds for a start; recovery after a crash counts.
        stop_timeout_s: Seconds for a fast shutdown before an immediate one.
        settings: PostgreSQL settings besides the stack's own, by name.
        install: Tree with bin, lib and share; None for PostgreSQL 18 of the wheel.
    """

    folder: Path
    superuser_password: str = field(repr=False)
    port: int = 0
    port_strict: bool = True
    durable: bool = True
    start_timeout_s: float = 120.0
    stop_timeout_s: float = 5.0
    settings: Mapping[str, str] = field(default_factory=dict)
    install: Path | None = None


class Cluster:
    """A running PostgreSQL server; owns its process.

    Use as an async context manager, or call `start` and `stop`. Start it from a thread that lives
    as long as the server should: on Linux the server ends with that thread.
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self.folder = DataFolder(config.folder)
        self.log_path = config.folder / POSTGRES_LOG
        self.notices: list[str] = []
        self.is_new = False
        self._port = config.port
        self._account: Account | None = None
        self._binaries: Binaries | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Cluster:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The TCP port; 0 until it has been chosen."""
        return self._port

    @property
    def pid(self) -> int | None:
        """Process id of the server, None while it does not run."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else None

    def dsn(self, user: str, password: str, database: str = "postgres") -> str:
        """Return the URL under which a role reaches a database here."""
        secret = quote(password, safe="")
        return f"postgresql://{user}:{secret}@{ports.LOOPBACK}:{self._port}/{database}"

    def admin_dsn(self, database: str = "postgres") -> str:
        """Return the superuser's URL."""
        return self.dsn(SUPERUSER, self.config.superuser_password, database)

    async def start(self) -> None:
        """Make the cluster where there is none, start the server, wait until it answers.

        A server left over from a stack that was killed is stopped first. What happened besides
        is told in `notices`.

        Raises:
            StackError: One of its kinds for a folder, port or program that cannot work.

        Cancellation:
            Safe; a server that was started is stopped.
        """
        self._account = choose_account(self.folder.data)
        binaries = await find_binaries(self._account, self.config.install)
        self._binaries = binaries
        await self._stop_leftover()
        state = self.folder.inspect(binaries.major)
        if state is DataState.HALF_WRITTEN:
            aside = self.folder.set_aside()
            self._notice(
                f"The database was never finished (its creation was interrupted); it was set "
                f"aside as {aside} and is made anew."
            )
        if state is not DataState.COMPLETE:
            await self._initialise(binaries)
            self.is_new = True
        await self._start_server(binaries)

    async def restart(self) -> None:
        """Start the server again on the same port after it ended by itself.

        Raises:
            PostgresError: It cannot be started; the caller may try again.
        """
        if self._binaries is None:
            raise StackError("PostgreSQL was not started.")
        await self._stop_leftover()
        await self._spawn_and_wait(self._binaries)

    async def _stop_leftover(self) -> None:
        pid = await leftover.leftover_pid(self.folder)
        if pid is not None:
            self._notice(f"Stopping PostgreSQL (process {pid}) left over from an earlier stack.")
            await leftover.stop_leftover(pid, self.config.stop_timeout_s)

    def _notice(self, text: str) -> None:
        self.notices.append(text)
        _log.warning("%s", text)

    async def _initialise(self, binaries: Binaries) -> None:
        root = self.folder.root
        if not root.exists():
            # The account gets `data/` alone: root writes nowhere that it could plant a link.
            root.mkdir(mode=0o700 if self._account is None else 0o711)
        self.folder.data.mkdir(mode=0o700, exist_ok=True)
        give_to(self.folder.data, self._account)
        password_file = _password_file(root, self.config.superuser_password, self._account)
        arguments = [
            "--pgdata", str(self.folder.data),
            "--username", SUPERUSER,
            "--pwfile", str(password_file),
            "--auth", "scram-sha-256",
            "--encoding", "UTF8",
            *(LOCALE if int(binaries.major) >= 17 else LOCALE_BEFORE_17),
            "--no-instructions",
            *([] if self.config.durable else ["--no-sync"]),
        ]  # fmt: skip
        try:
            outcome = await process.run(
                binaries.initdb,
                arguments,
                account=self._account,
                folder=self.folder.data,
                timeout_s=INITDB_TIMEOUT_S,
            )
        finally:
            password_file.unlink(missing_ok=True)
        if outcome.status == EXIT_CANNOT_ENTER:
            raise self._unreachable()
        if outcome.status != 0:
            raise InitdbError(f"A new database could not be made in {root}.", outcome.output)
        self.folder.mark_complete(binaries.version)

    def _unreachable(self) -> FolderUnreachableError:
        name = self._account.name if self._account is not None else "of this user"
        return FolderUnreachableError(self.folder.root, name)

    async def _start_server(self, binaries: Binaries) -> None:
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self._port = self._choose_port()
            try:
                await self._spawn_and_wait(binaries)
            except PostgresStartError as error:
                # Between choosing a free port and listening on it, someone else may take it.
                if "Address already in use" not in error.log_tail or attempt == PORT_ATTEMPTS:
                    raise
            else:
                return

    def _choose_port(self) -> int:
        wanted = self.config.port
        if wanted == 0:
            return ports.free_port()
        if not self.config.port_strict:
            return ports.next_free_port(wanted)
        if not ports.is_free(wanted):
            raise PortTakenError(wanted, "PostgreSQL")
        return wanted

    async def _spawn_and_wait(self, binaries: Binaries) -> None:
        with _open_log(self.log_path) as log:
            offset = log.tell()
            self._process = await process.keep(
                binaries.postgres,
                self._server_arguments(),
                account=self._account,
                folder=self.folder.data,
                log=log,
            )
        try:
            async with asyncio.timeout(self.config.start_timeout_s):
                await self._until_answering(self._process, offset)
        except TimeoutError as error:
            await self.stop()
            raise PostgresStartError(
                f"PostgreSQL did not answer within {self.config.start_timeout_s:g} s.",
                self.log_tail(offset),
            ) from error
        except BaseException:
            await self.stop()
            raise

    def _server_arguments(self) -> list[str]:
        settings = {
            **SETTINGS,
            **(DURABLE if self.config.durable else FORGETFUL),
            **self.config.settings,
            "port": str(self._port),
        }
        arguments = ["-D", str(self.folder.data)]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        return arguments

    async def _until_answering(self, server: asyncio.subprocess.Process, offset: int) -> None:
        while True:
            if server.returncode == EXIT_CANNOT_ENTER:
                raise self._unreachable()
            if server.returncode is not None:
                raise PostgresStartError(
                    f"PostgreSQL ended while starting (status {server.returncode}).",
                    self.log_tail(offset),
                )
            try:
                dsn = self.admin_dsn(MAINTENANCE)
                connection = await asyncpg.connect(dsn, ssl=False, timeout=5)
            except asyncpg.InvalidPasswordError as error:
                raise PostgresStartError(
                    f"The database in {self.folder.root} was made with other passwords than the "
                    "ones in its folder. Restore the password file, or start over with "
                    "`portalctl reset --yes`."
                ) from error
            except _NOT_YET:
                await asyncio.sleep(POLL_S)
            else:
                await connection.close()
                return

    async def wait_ended(self) -> int:
        """Wait until the server's process ends; return its exit status.

        Raises:
            StackError: The server was never started.
        """
        if self._process is None:
            raise StackError("PostgreSQL was not started.")
        return await self._process.wait()

    async def stop(self) -> None:
        """Stop the server: fast, at the deadline at once. Does nothing when it does not run.

        Cancellation:
            The server is killed at once and recovers at its next start.
        """
        server = self._process
        if server is None or server.returncode is not None:
            return
        try:
            for request in (signal.SIGINT, signal.SIGQUIT):
                with contextlib.suppress(ProcessLookupError):
                    server.send_signal(request)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.config.stop_timeout_s):
                        await server.wait()
                        return
                _log.warning("PostgreSQL did not stop within %g s.", self.config.stop_timeout_s)
        finally:
            if server.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    server.kill()
                await server.wait()

    def log_tail(self, offset: int = 0) -> str:
        """Return the last lines of the server's log, at most `LOG_TAIL_LINES`."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(offset)
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-LOG_TAIL_LINES:])


def _password_file(folder: Path, password: str, account: Account | None) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="initdb-", dir=folder)
    path = Path(name)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123  # a descriptor, not a path
        file.write(password + "\n")
    give_to(path, account)
    return path


def _open_log(path: Path) -> IO[bytes]:
    with contextlib.suppress(OSError):
        if path.stat().st_size > LOG_ROTATE_BYTES:
            path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
