"""One PostgreSQL cluster for the whole test run; a clone of a template per test."""

from __future__ import annotations

import itertools
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import asyncpg
import pytest

from local_stack.background import LoopThread
from local_stack.folder import FolderLock, load_passwords, make_ephemeral
from local_stack.postgres.binaries import wheel_install
from local_stack.postgres.bootstrap import apply_bootstrap
from local_stack.postgres.clones import create_clone, drop_database, seal
from local_stack.postgres.cluster import Cluster, ClusterConfig
from local_stack.postgres.migrate import apply_migrations, apply_seed

REPOSITORY = Path(__file__).resolve().parents[2]
BARE, MIGRATED, SEEDED = "template_bare", "template_migrated", "template_seeded"
WHEEL_MAJORS = (16, 18)
DEBIAN_INSTALLS = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class Database:
    """A database of one test.

    Attributes:
        name: Its name in the cluster.
        url: As role postgres, the project's owner; not a superuser.
        admin_url: As superuser supabase_admin.
    """

    name: str
    url: str = field(repr=False)
    admin_url: str = field(repr=False)
    cluster: TestCluster = field(repr=False)

    def url_as(self, role: str) -> str:
        """Return the URL for another login role: authenticator or supabase_auth_admin."""
        return self.cluster.url_as(role, self.name)


class TestCluster:
    """Owns the cluster, its templates and the thread that they live on.

    Args:
        project: Folder with `supabase/`.
        install: PostgreSQL's installation tree; None for 18 of the wheel.
        folder: Where it lives, and stays; None for a temporary folder. One in which such a cluster
            was stopped has its templates already.
        is_temporary: The folder is removed in the end.
    """

    __test__ = False

    def __init__(
        self,
        project: Path = REPOSITORY,
        install: Path | None = None,
        *,
        folder: Path | None = None,
        is_temporary: bool = False,
    ) -> None:
        self._project = project
        self._thread = LoopThread("test cluster")
        self._is_temporary = is_temporary or folder is None
        self._folder = folder or make_ephemeral()
        self._lock = FolderLock(self._folder)
        self._lock.acquire()
        self._passwords = load_passwords(self._folder)
        self._numbers = itertools.count(1)
        self._ready: set[str] = set()
        self._cluster = Cluster(
            ClusterConfig(
                self._folder / "postgres",
                self._passwords["supabase_admin"],
                durable=False,
                install=install,
            )
        )
        self._admin: asyncpg.Connection[asyncpg.Record] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the server."""
        self._thread.call(self._start())

    async def _start(self) -> None:
        await self._cluster.start()
        self._admin = await asyncpg.connect(self._cluster.admin_dsn())
        sealed = await self._admin.fetch("select datname from pg_database where not datallowconn")
        self._ready = {row["datname"] for row in sealed}

    def close(self) -> None:
        """Stop the server, remove its folder, check that nothing is left."""
        try:
            self._thread.call(self._stop())
            leftover = self._thread.leftover_tasks()
        finally:
            self._thread.close()
            self._lock.release()
            if self._is_temporary:
                shutil.rmtree(self._folder, ignore_errors=True)
        assert leftover == [], f"tasks left on the cluster's thread: {leftover}"

    async def _stop(self) -> None:
        if self._admin is not None:
            await self._admin.close()
        await self._cluster.stop()

    @property
    def port(self) -> int:
        """The server's TCP port."""
        return self._cluster.port

    def url_as(self, role: str, database: str) -> str:
        """Return the URL of a database for a login role."""
        return self._cluster.dsn(role, self._passwords[role], database)

    def prepare(self, template: str) -> None:
        """Make a template and the ones it is made from, unless they are there."""
        self._thread.call(self._prepare(template))

    def clone(self, template: str, hint: str = "test") -> Database:
        """Make a database from a template; the template is made on first use."""
        return self._thread.call(self._clone(template, hint))

    async def _clone(self, template: str, hint: str) -> Database:
        await self._prepare(template)
        slug = re.sub(r"[^a-z0-9]+", "_", hint.lower()).strip("_")[:40]
        name = f"t{next(self._numbers)}_{slug}"
        await create_clone(self._connected(), name, template, "postgres", is_durable=False)
        return Database(name, self.url_as("postgres", name), self._cluster.admin_dsn(name), self)

    def drop(self, database: Database) -> None:
        """Drop a test's database, whoever is still connected."""
        self._thread.call(self._drop(database.name))

    async def _drop(self, name: str) -> None:
        await drop_database(self._connected(), name)

    def _connected(self) -> asyncpg.Connection[asyncpg.Record]:
        assert self._admin is not None, "the cluster is not started"
        return self._admin

    async def _prepare(self, template: str) -> None:
        if template in self._ready:
            return
        base = {BARE: "template1", MIGRATED: BARE, SEEDED: MIGRATED}[template]
        if template != BARE:
            await self._prepare(base)
        owner = "supabase_admin" if template == BARE else "postgres"
        await create_clone(self._connected(), template, base, owner, is_durable=False)
        try:
            await self._fill(template)
        except BaseException:
            # The next test is to see the same error, not "already exists".
            await drop_database(self._connected(), template)
            raise
        await seal(self._connected(), template)
        self._ready.add(template)

    async def _fill(self, template: str) -> None:
        url = self.url_as("postgres", template)
        supabase = self._project / "supabase"
        if template == BARE:
            await apply_bootstrap(self._cluster.admin_dsn(BARE), self._passwords)
        elif template == MIGRATED:
            await apply_migrations(url, supabase / "migrations")
        else:
            await apply_seed(url, supabase / "seed.sql")


def install_of(major: int) -> Path | None:
    """Return the installation of a PostgreSQL major version: the wheel's, else Debian's."""
    if major in WHEEL_MAJORS:
        return wheel_install(str(major))
    install = DEBIAN_INSTALLS / str(major)
    return install if (install / "bin" / "postgres").exists() else None


def cluster_of(major: int) -> TestCluster:
    """Return a cluster of a PostgreSQL major version, not started; skip where there is none.

    Use it as a context manager: `with cluster_of(16) as cluster: cluster.clone(MIGRATED)`.

    Args:
        major: 16 or 18 (from the wheel), or any version that Debian's packages installed.
    """
    install = install_of(major)
    if install is None:
        pytest.skip(f"PostgreSQL {major} is not installed in {DEBIAN_INSTALLS / str(major)}")
    return TestCluster(install=install)
