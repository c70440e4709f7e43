"""The databases of one stack: the project's own, and copies of it as it was when it was new."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg

from local_stack.postgres.bootstrap import apply_bootstrap
from local_stack.postgres.clones import create_clone, drop_database, seal
from local_stack.postgres.migrate import apply_migrations, apply_seed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from local_stack.config import StackConfig
    from local_stack.postgres.migrate import Migration

DATABASE = "postgres"
OWNER = "postgres"
SUPERUSER = "supabase_admin"
# Never anybody's work: what an earlier run left under this prefix is dropped.
OWN_PREFIX = "_local_stack_"
TEMPLATE = f"{OWN_PREFIX}template"
MAINTENANCE = "template1"


@dataclass(frozen=True, slots=True)
class FreshDatabase:
    """A database of one test, migrated and seeded; the API does not serve it.

    Attributes:
        name: Its name in the server.
        url: As role postgres, the project's owner; not a superuser.
        admin_url: As superuser.
    """

    name: str
    url: str = field(repr=False)
    admin_url: str = field(repr=False)


class Databases:
    """Prepares the project's database and copies it; belongs to one running stack.

    Args:
        config: Of the stack.
        passwords: By login role.
        dsn_of: URL for a login role and a database.
        on_progress: Told what happens now.
        on_notice: Told what the user should know.
    """

    def __init__(
        self,
        config: StackConfig,
        passwords: Mapping[str, str],
        dsn_of: Callable[[str, str], str],
        *,
        on_progress: Callable[[str], None],
        on_notice: Callable[[str], None],
    ) -> None:
        self._config = config
        self._passwords = dict(passwords)
        self._dsn_of = dsn_of
        self._on_progress = on_progress
        self._on_notice = on_notice
        self._numbers = itertools.count(1)
        self._has_template = False
        self._copying = asyncio.Lock()

    async def prepare(self, *, is_new: bool) -> None:
        """Make the project's database what it has to be: platform, migrations, seed.

        Args:
            is_new: Nobody has worked with it yet; then it may serve as the template.

        Raises:
            SqlFileError: A file failed.
        """
        try:
            await self._fill(DATABASE)
        except asyncpg.InvalidCatalogNameError:
            # A reset was killed after the old database had gone and before the new one was there.
            async with self._admin() as admin:
                await create_clone(admin, DATABASE, MAINTENANCE, OWNER)
            await self._fill(DATABASE)
        if is_new and self._config.template:
            async with self._admin() as admin:
                await create_clone(admin, TEMPLATE, DATABASE, OWNER)
                await seal(admin, TEMPLATE)
            self._has_template = True

    async def _fill(self, database: str) -> None:
        self._on_progress("preparing the database")
        outcome = await apply_bootstrap(self._own_dsn(SUPERUSER, database), self._passwords)
        for name in outcome.outdated:
            self._on_notice(
                f"The platform file {name} is newer than this database. "
                "`portalctl reset --yes` starts over with the new one."
            )
        if self._config.project_dir is None or not self._config.migrate:
            return
        supabase = self._config.project_dir / "supabase"
        owner_dsn = self._own_dsn(OWNER, database)
        plan = await apply_migrations(
            owner_dsn, supabase / "migrations", on_progress=self._tell_migrations
        )
        for name in plan.edited:
            self._on_notice(f"Migration {name} was edited after it had been applied.")
        if self._config.seed:
            await apply_seed(
                owner_dsn,
                supabase / "seed.sql",
                on_load=lambda: self._on_progress("loading seed data"),
            )

    def _tell_migrations(self, _migration: Migration, number: int, count: int) -> None:
        if number == 1:
            self._on_progress(f"applying {count} migration{'s' if count > 1 else ''}")

    @contextlib.asynccontextmanager
    async def fresh(self) -> AsyncIterator[FreshDatabase]:
        """Lend a copy of the project's database as it is when new; drop it afterwards."""
        await self.make_template()
        async with self._copying:
            name = f"{OWN_PREFIX}fresh_{next(self._numbers)}"
            async with self._admin() as admin:
                await create_clone(admin, name, TEMPLATE, OWNER)
        try:
            yield FreshDatabase(name, self._dsn_of(OWNER, name), self._dsn_of(SUPERUSER, name))
        finally:
            async with self._admin() as admin:
                await drop_database(admin, name)

    async def restore(self) -> None:
        """Replace the project's database by a new one; whoever is connected is cut.

        A kill in between leaves no database, or the old one; the next start makes a new one.
        """
        await self.make_template()
        async with self._copying, self._admin() as admin:
            await drop_database(admin, DATABASE)
            await create_clone(admin, DATABASE, TEMPLATE, OWNER)

    async def make_template(self) -> None:
        """Make the template where this run has none yet; one of an earlier run may be outdated.

        Raises:
            SqlFileError: A file failed.
        """
        async with self._copying:
            if self._has_template:
                return
            async with self._admin() as admin:
                await _drop_leftovers(admin)
                await create_clone(admin, TEMPLATE, MAINTENANCE, OWNER)
            await self._fill(TEMPLATE)
            async with self._admin() as admin:
                await seal(admin, TEMPLATE)
            self._has_template = True

    def _own_dsn(self, role: str, database: str) -> str:
        # The server has no TLS; saying so saves a round trip.
        return f"{self._dsn_of(role, database)}?sslmode=disable"

    @contextlib.asynccontextmanager
    async def _admin(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        connection = await asyncpg.connect(self._own_dsn(SUPERUSER, MAINTENANCE))
        try:
            yield connection
        finally:
            await connection.close()


async def _drop_leftovers(admin: asyncpg.Connection[asyncpg.Record]) -> None:
    left = await admin.fetch(
        "select datname from pg_database where starts_with(datname, $1)", OWN_PREFIX
    )
    for row in left:
        await drop_database(admin, row["datname"])
