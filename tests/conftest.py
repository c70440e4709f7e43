"""Fixtures that every test may use; nothing about the product's domain lives here."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from local_stack.folder import make_ephemeral
from tests.support.cluster import BARE, MIGRATED, SEEDED, Database, TestCluster

if TYPE_CHECKING:
    from tests.support.prepared import Prepared
    from tests.support.stack_thread import StackThread

# How long an example takes says something of the machine, not of the code.
settings.register_profile("portal", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("portal")

# An HTTP client reads every certificate authority of the machine when it is made: 60 ms each time.
# Nothing here leaves loopback, where nobody's authority will do.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "support" / "authority.pem")

# A run in the background inherits an ignored SIGINT, and so would every program that a test
# interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Files that take longest, so that no worker is left alone with one of them at the end.
LONG_FILES = (
    "e2e/test_demo.py",
    "integration/portal_sdk/test_writes_under_faults.py",
    "integration/service/test_import_command.py",
    "integration/stack/test_portalctl_up.py",
    "faults/test_fault_matrix.py",
    "database/test_plans.py",
    "spec/portal_sdk/test_many_histories.py",
    "integration/portalctl/test_rls_commands.py",
    "integration/portalctl/test_db_commands.py",
    "integration/stack/test_databases.py",
    "feed/test_continuity.py",
    "feed/test_bulk.py",
    "integration/stack/test_survival.py",
    "policies/mutation/test_mutation.py",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector what is imported and collected: it lives until the end.

    Looking through it again and again takes a sixth of the processor time of a unit test.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; `--no-loadscope-reorder` keeps this order."""
    rank = {Path(__file__).parent / name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: rank.get(item.path, len(LONG_FILES)))


@pytest.fixture(scope="session", autouse=True)
def no_process_left() -> Iterator[None]:
    """Fail the run if a child process outlives the fixtures that started it."""
    yield
    left = [
        pid
        for listing in Path("/proc/self/task").glob("*/children")
        for pid in listing.read_text().split()
    ]
    assert left == [], f"child processes left: {left}"


@pytest.fixture(autouse=True)
def no_task_left(request: pytest.FixtureRequest) -> None:
    """Fail an async test that leaves tasks behind, after its other fixtures are gone."""
    function = getattr(request, "function", None)
    if function is not None and inspect.iscoroutinefunction(inspect.unwrap(function)):
        request.getfixturevalue("_task_check")


@pytest.fixture
async def _task_check() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = [
        repr(task)
        for task in asyncio.all_tasks() - before - {asyncio.current_task()}
        if not task.done()
    ]
    assert left == [], "tasks left by the test:\n" + "\n".join(left)


SHARED = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Have one folder that all processes of this run share."""
    workerinput: dict[str, str] | None = getattr(config, "workerinput", None)
    if workerinput is not None:
        config.stash[SHARED] = Path(workerinput["shared"])
        return
    config.stash[SHARED] = shared = make_ephemeral()
    config.add_cleanup(lambda: shutil.rmtree(shared, ignore_errors=True))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist which folder it is."""
    node.workerinput["shared"] = str(node.config.stash[SHARED])


@pytest.fixture(scope="session")
def made_once(pytestconfig: pytest.Config) -> Prepared:
    """Folders that are made once for all processes of this run, to be copied."""
    # Imported here: tests of one database or of pure code do not load the servers.
    from tests.support.prepared import Prepared

    return Prepared(pytestconfig.stash[SHARED])


@pytest.fixture(scope="session")
def new_cluster(made_once: Prepared) -> Callable[[], TestCluster]:
    """Make a cluster that has its templates already, not started; use it as a context manager."""
    from tests.support.prepared import ephemeral_copy

    return lambda: TestCluster(folder=ephemeral_copy(made_once.cluster()), is_temporary=True)


@pytest.fixture(scope="session")
def cluster(new_cluster: Callable[[], TestCluster]) -> Iterator[TestCluster]:
    """The PostgreSQL cluster of this process."""
    with new_cluster() as made:
        yield made


def _clone(
    cluster: TestCluster, template: str, request: pytest.FixtureRequest
) -> Iterator[Database]:
    database = cluster.clone(template, request.node.name)
    yield database
    cluster.drop(database)


@pytest.fixture
def database(cluster: TestCluster, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated and seeded database of this test's own."""
    yield from _clone(cluster, SEEDED, request)


@pytest.fixture
def empty_database(cluster: TestCluster, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated database without seed data, of this test's own."""
    yield from _clone(cluster, MIGRATED, request)


@pytest.fixture
def bare_database(cluster: TestCluster, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with the platform alone (roles, auth, realtime), of this test's own."""
    yield from _clone(cluster, BARE, request)


def _running_stack(made_once: Prepared) -> Iterator[StackThread]:
    from tests.support.stack_thread import StackThread

    made = StackThread(made_once.stack())
    made.start()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def stack(made_once: Prepared) -> Iterator[StackThread]:
    """One running, seeded stack, shared by every test that leaves it as it was."""
    yield from _running_stack(made_once)


@pytest.fixture
def fresh_stack(made_once: Prepared) -> Iterator[StackThread]:
    """A running, seeded stack of this test's own."""
    yield from _running_stack(made_once)
