"""Folders of stacks and clusters that were made once and are copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.background import LoopThread
from local_stack.folder import make_ephemeral
from local_stack.postgres.cluster import Cluster, ClusterConfig
from tests.support.prepared import Prepared
from tests.support.stack_folders import CLUSTER_PASSWORD, copy_folder


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with spaces in its path, which every account may enter."""
    parent = make_ephemeral()
    made = parent / "a home with späces"
    made.mkdir()
    made.chmod(0o755)
    yield made
    shutil.rmtree(parent)


@pytest.fixture
def data_dir(home: Path) -> Path:
    """A path that does not exist yet."""
    return home / "data"


@pytest.fixture
def seeded_dir(made_once: Prepared, data_dir: Path) -> Path:
    """A copy of the folder of a stack that ran once: migrated, seeded, stopped."""
    return copy_folder(made_once.stack(), data_dir)


@pytest.fixture(scope="session")
def stopped_cluster() -> Iterator[Path]:
    """The folder of a PostgreSQL cluster that ran once, in a database of its own."""
    parent = make_ephemeral()
    thread = LoopThread("cluster in the making")
    cluster = Cluster(ClusterConfig(parent / "postgres", CLUSTER_PASSWORD, durable=False))
    try:
        thread.call(cluster.start())
        thread.call(cluster.stop())
        yield parent / "postgres"
    finally:
        thread.close()
        shutil.rmtree(parent)


@pytest.fixture
def made_cluster(stopped_cluster: Path, home: Path) -> Path:
    """A folder in which `postgres` is a copy of a cluster that ran once."""
    copy_folder(stopped_cluster, home / "postgres")
    return home
