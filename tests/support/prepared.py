"""Folders that take seconds to make: made once for a whole run, and copied by whoever needs one.

Nothing is kept from run to run: what a copy starts from was made from this tree's migrations.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncpg

from local_stack.background import BackgroundStack
from local_stack.config import StackConfig
from local_stack.folder import LOCK, make_ephemeral
from tests.support.cluster import SEEDED, TestCluster
from tests.support.personas import PASSWORD_HASH
from tests.support.stack_folders import REPOSITORY


class Prepared:
    """The folders of one run, below one that its processes share.

    Args:
        shared: The folder; it belongs to this run.
    """

    def __init__(self, shared: Path) -> None:
        self._shared = shared

    def stack(self) -> Path:
        """Return the folder of a stack that ran once: migrated, seeded, stopped."""
        return self.once("stack", _make_stack)

    def cluster(self) -> Path:
        """Return the folder of a stopped test cluster with all its templates."""
        return self.once("cluster", _make_cluster)

    def once(self, name: str, make: Callable[[Path], None]) -> Path:
        """Make a folder unless it is there; the others wait. Where it fails, each is told."""
        made = self._shared / name
        with (self._shared / f"made-{name}").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                partial = self._shared / f"{name}.partial"
                shutil.rmtree(partial, ignore_errors=True)
                make(partial)
                # A copy of it would look old and left by a killed stack, and be removed.
                (partial / LOCK).unlink(missing_ok=True)
                partial.rename(made)
        return made


def ephemeral_copy(source: Path) -> Path:
    """Return a temporary copy of such a folder; its user removes it."""
    target = make_ephemeral()
    # With owners and modes: as root, PostgreSQL's files belong to another account.
    subprocess.run(["cp", "-a", f"{source}/.", str(target)], check=True)
    return target


def _make_stack(folder: Path) -> None:
    with BackgroundStack(StackConfig(data_dir=folder, project_dir=REPOSITORY, fsync=False)) as made:
        made.call(_hash_quickly(made.admin_database_url))


async def _hash_quickly(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("update auth.users set encrypted_password = $1", PASSWORD_HASH)
    finally:
        await connection.close()


def _make_cluster(folder: Path) -> None:
    folder.mkdir(mode=0o711)
    with TestCluster(folder=folder) as cluster:
        cluster.prepare(SEEDED)
