"""A standby of the stack's PostgreSQL, and putting it in the primary's place."""

from __future__ import annotations

import shutil
from typing import Any

import asyncpg

from local_stack.postgres import process
from local_stack.postgres.account import give_to
from local_stack.postgres.cluster import Cluster, ClusterConfig

SUPERUSER = "supabase_admin"


class Standby:
    """Follows the primary of a running stack until it is cut off, promoted and put in its place.

    Every coroutine runs on the stack's own loop: the server ends with the thread that started it.
    """

    def __init__(self, stack: Any) -> None:
        self._primary: Cluster = stack.stack._cluster
        self._folder = stack.stack.folder / "standby"
        self._password = self._primary.config.superuser_password
        self._cluster: Cluster | None = None

    async def start(self) -> None:
        """Copy the primary while it runs, and follow it."""
        primary = self._primary
        binaries, account = primary._binaries, primary._account
        assert binaries is not None
        self._folder.mkdir(mode=0o711)
        data = self._folder / "data"
        data.mkdir(mode=0o700)
        give_to(data, account)
        url = primary.dsn(SUPERUSER, self._password).rsplit("/", 1)[0]
        outcome = await process.run(
            binaries.postgres.with_name("pg_basebackup"),
            ["-D", str(data), "-d", url, "-R", "-X", "stream", "-c", "fast"],
            account=account, folder=data,
        )  # fmt: skip
        assert outcome.status == 0, outcome.output
        cluster = Cluster(
            ClusterConfig(
                self._folder, self._password, durable=False, install=primary.config.install
            )
        )
        cluster.folder.mark_complete(binaries.version)
        self._cluster = cluster
        await cluster.start()

    async def cut_off(self) -> None:
        """Wait until it has everything, then let it hear nothing more."""
        assert self._cluster is not None
        ours = await asyncpg.connect(self._cluster.admin_dsn())
        theirs = await asyncpg.connect(self._primary.admin_dsn())
        wanted = await theirs.fetchval("select pg_current_wal_lsn()::text")
        await theirs.close()
        while not await ours.fetchval(
            "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn", wanted
        ):
            pass
        await ours.execute("alter system set primary_conninfo = ''")
        await ours.execute("select pg_reload_conf()")
        while await ours.fetchval("select count(*) from pg_stat_wal_receiver"):
            pass
        await ours.close()

    async def take_over(self) -> None:
        """Promote it; whatever the primary has done since it was cut off is lost."""
        assert self._cluster is not None
        ours = await asyncpg.connect(self._cluster.admin_dsn())
        assert await ours.fetchval("select pg_promote()")
        await ours.close()
        await self._cluster.stop()
        primary, restart = self._primary, self._primary.restart

        async def restart_as_the_standby() -> None:
            if self._folder.exists():
                shutil.rmtree(primary.folder.data)
                (self._folder / "data").rename(primary.folder.data)
                shutil.rmtree(self._folder)
            await restart()

        primary.restart = restart_as_the_standby  # type: ignore[method-assign]
