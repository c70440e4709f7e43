"""The stack as one async context manager: start in order, watch, stop in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from local_stack.config import StackConfig
from local_stack.databases import DATABASE, Databases, FreshDatabase
from local_stack.environment import environment
from local_stack.errors import StackError
from local_stack.faults import Faults, HttpFaults
from local_stack.folder import (
    KEYS,
    LOG,
    POSTGRES,
    FolderLock,
    StackState,
    load_passwords,
    make_ephemeral,
    make_folder,
    remove_state,
    write_state,
)
from local_stack.journal import logging_to
from local_stack.key_rotation import file_version, follow
from local_stack.keys import ProjectKeys
from local_stack.listener import Listener, bind_port
from local_stack.ports import reachable_host
from local_stack.postgres.binaries import wheel_install
from local_stack.postgres.cluster import SUPERUSER, Cluster, ClusterConfig
from local_stack.servers import Servers
from local_stack.watch import Watch

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable

    from local_stack.key_rotation import FileVersion

_log = logging.getLogger("local_stack.stack")

T = TypeVar("T")


class LocalStack:
    """A PostgreSQL server with Supabase-compatible REST, Auth and Realtime in front of it.

    Enter it with `async with`. It belongs to one event loop, whose thread must live as long as
    the stack.

    Args:
        config: Where it runs and how; a temporary folder and free ports by default.
        on_progress: Told each step of the start, a few words.
        on_troubles: Told `troubles` whenever they change; an empty tuple when all is well again.

    Attributes:
        notices: What happened at the start that its user should know, one sentence each.
        troubles: What is wrong right now and is being put right, one sentence each.
        faults: Switches for tests.
    """

    def __init__(
        self,
        config: StackConfig | None = None,
        on_progress: Callable[[str], None] | None = None,
        on_troubles: Callable[[tuple[str, ...]], None] | None = None,
    ) -> None:
        self.config = config or StackConfig()
        self.notices: list[str] = []
        self.troubles: tuple[str, ...] = ()
        self.faults = Faults()
        self._on_progress = on_progress or (lambda _step: None)
        self._on_troubles = on_troubles or (lambda _troubles: None)
        self._stack = contextlib.AsyncExitStack()
        self._folder: Path | None = None
        self._keys: ProjectKeys | None = None
        self._keys_version: FileVersion | None = None
        self._passwords: dict[str, str] = {}
        self._cluster: Cluster | None = None
        self._databases: Databases | None = None
        self._servers: Servers | None = None
        self._started_at = ""
        self._api_port = 0
        self._listening: socket.socket | None = None
        self._failure: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        """Stop everything that was started, newest first, even when this is cancelled."""
        closing = asyncio.create_task(self._stack.aclose(), name="stack-close")
        cancelled: asyncio.CancelledError | None = None
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        closing.result()

    @property
    def folder(self) -> Path:
        """The folder that holds everything of this stack."""
        return _started(self._folder)

    @property
    def keys(self) -> ProjectKeys:
        """API keys and signing keys of this folder."""
        return _started(self._keys)

    @property
    def api_port(self) -> int:
        """TCP port of the API."""
        return self._api_port

    @property
    def database_port(self) -> int:
        """TCP port of PostgreSQL."""
        return _started(self._cluster).port

    @property
    def api_url(self) -> str:
        """URL that Supabase clients on this machine are given."""
        return f"http://{reachable_host(self.config.host)}:{self._api_port}"

    @property
    def database_url(self) -> str:
        """Database URL of the project's owner, role postgres."""
        return self._dsn("postgres")

    @property
    def admin_database_url(self) -> str:
        """Database URL of the superuser, for tests and faults."""
        return self._dsn(SUPERUSER)

    def env(self) -> dict[str, str]:
        """Return the SUPABASE_* variables that point a program at this stack."""
        return environment(self.keys, self.api_url, self.database_url)

    async def wait_failed(self) -> None:
        """Wait until the stack cannot go on; returns never while it works.

        Raises:
            StackError: Why it cannot go on.
        """
        await asyncio.shield(_started(self._failure))

    @contextlib.asynccontextmanager
    async def fresh_database(self) -> AsyncIterator[FreshDatabase]:
        """Lend a database of its own, migrated and seeded; it is dropped at the end.

        The first one of a run takes as long as the migrations, unless the stack was started with
        `template=True`; every other one takes a fraction of a second.

        Raises:
            SqlFileError: The project's SQL does not apply.
        """
        async with _started(self._databases).fresh() as database:
            yield database

    async def reset_database(self) -> None:
        """Put the database behind the API back to what it is when new: migrated and seeded.

        Everything that was written is lost, users included; keys, ports and passwords stay. Whoever
        is connected is cut: requests are answered with 503 for a moment, and Realtime sockets close
        with code 1012.

        Raises:
            SqlFileError: The project's SQL does not apply; nothing was lost.
            StackError: A server could not start; it is tried again in the background.

        Cancellation:
            The servers are started again; the database may be the old or the new one.
        """
        databases = _started(self._databases)
        await databases.make_template()
        async with _started(self._servers).paused():
            await databases.restore()

    def _dsn(self, role: str, database: str = DATABASE) -> str:
        return _started(self._cluster).dsn(role, self._passwords[role], database)

    def _own_dsn(self, role: str) -> str:
        """Return a URL for connections of the stack's own.

        The server has no TLS; saying so saves a round trip, and a look into the caller's home
        folder for certificates, which may be closed to this process.
        """
        return f"{self._dsn(role)}?sslmode=disable"

    async def _start(self) -> None:
        self._failure = asyncio.get_running_loop().create_future()
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._enter_folder()
        await self._start_postgres()
        await self._prepare_database()
        await self._start_servers()
        self._write_state()
        _log.info(
            "The stack runs: API on port %d, PostgreSQL on port %d.",
            self.api_port,
            self.database_port,
        )
        self._on_progress("ready")

    def _enter_folder(self) -> None:
        """Take the folder, its ports and its secrets."""
        config = self.config
        if config.data_dir is None:
            folder = make_ephemeral()
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        else:
            folder = config.data_dir.absolute()
            make_folder(folder)
        self._folder = folder
        self._stack.enter_context(FolderLock(folder))
        # What a killed stack left names a process that may be anybody's by now; with the lock
        # taken, `portalctl stop` would believe it.
        remove_state(folder)
        self._stack.enter_context(logging_to(folder / LOG, config.log_level, config.log_format))
        self._stack.callback(remove_state, folder)
        listening = bind_port(config.api_port, strict=config.api_port_strict, host=config.host)
        self._stack.callback(listening.close)
        self._listening = listening
        self._api_port = int(listening.getsockname()[1])
        if config.api_port not in {0, self._api_port}:
            self._notice(f"Port {config.api_port} is in use; the API is on port {self._api_port}.")
        if config.exposure is not None:
            self._notice(config.exposure)
        self._write_state()
        self._passwords = load_passwords(folder)
        key_file = folder / KEYS
        if not key_file.exists():
            ProjectKeys.generate().save(key_file)
        self._keys_version = file_version(key_file)
        self._keys = ProjectKeys.load(key_file)

    async def _start_postgres(self) -> None:
        self._on_progress("starting PostgreSQL")
        self._cluster = Cluster(
            ClusterConfig(
                folder=self.folder / POSTGRES,
                superuser_password=self._passwords[SUPERUSER],
                port=self.config.database_port,
                port_strict=self.config.database_port_strict,
                durable=self.config.durable,
                install=wheel_install(str(self.config.postgres_major)),
            )
        )
        self._stack.push_async_callback(self._cluster.stop)
        await self._cluster.start()
        self.notices += self._cluster.notices
        wanted, found = self.config.database_port, self._cluster.port
        if wanted not in {0, found}:
            self._notice(f"Port {wanted} is in use; PostgreSQL is on port {found}.")

    async def _prepare_database(self) -> None:
        self._databases = Databases(
            self.config,
            self._passwords,
            self._dsn,
            on_progress=self._on_progress,
            on_notice=self._notice,
        )
        await self._databases.prepare(is_new=_started(self._cluster).is_new)

    async def _start_servers(self) -> None:
        self._on_progress("starting the servers")
        servers = Servers(
            keys=self.keys, api_url=self.api_url, dsn_of=self._own_dsn, faults=self.faults
        )
        self._servers = servers
        self._stack.push_async_callback(servers.stop)
        await servers.start()
        listener = Listener(HttpFaults(servers.app, self.faults), _started(self._listening))
        self._stack.push_async_callback(listener.stop)
        await listener.start()
        loop = asyncio.get_running_loop()
        self.faults.bind_drop(lambda: loop.call_soon_threadsafe(servers.drop_sockets))
        watch = Watch(self.folder, _started(self._cluster), servers, listener, self._set_troubles)
        task = asyncio.create_task(self._keep_running(watch), name="stack-watch")
        self._stack.push_async_callback(_cancelled, task)
        # Since when they were read: a rotation during the start is followed, too.
        work = follow(self.folder / KEYS, self.keys, self._keys_version)
        following = asyncio.create_task(work, name="stack-keys")
        self._stack.push_async_callback(_cancelled, following)

    async def _keep_running(self, watch: Watch) -> None:
        try:
            await watch.run()
        except StackError as error:
            _log.exception("the stack cannot go on")
            self._fail(error)
        except Exception as error:  # noqa: BLE001  the root of a task: whoever waits is told
            _log.exception("the watch over the stack failed")
            self._fail(StackError(f"The watch over the stack failed: {type(error).__name__}."))

    def _fail(self, error: StackError) -> None:
        failure = _started(self._failure)
        if not failure.done():
            failure.set_exception(error)
            failure.exception()  # retrieved: it is not an error that nobody waits for it

    def _set_troubles(self, troubles: tuple[str, ...]) -> None:
        self.troubles = troubles
        # The disk may be full: what cannot be written is still in the log and in `troubles`.
        with contextlib.suppress(OSError):
            self._write_state()
        self._on_troubles(troubles)

    def _notice(self, text: str) -> None:
        self.notices.append(text)
        _log.warning("%s", text)

    def _write_state(self) -> None:
        started = self._cluster is not None
        state = StackState(
            pid=os.getpid(),
            api_port=self._api_port if started else None,
            database_port=self.database_port if started else None,
            started_at=self._started_at,
            version=metadata.version("portal-sync"),
            ephemeral=self.config.data_dir is None,
            host=self.config.host,
            troubles=self.troubles,
        )
        write_state(self.folder, state)


def _started(part: T | None) -> T:
    if part is None:
        raise StackError("The stack is not started; use `async with LocalStack(...)`.")
    return part


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
