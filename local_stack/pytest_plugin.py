"""Pytest fixtures for projects that test against a local stack.

Switch them on in the topmost `conftest.py`::

    pytest_plugins = ["local_stack.pytest_plugin"]

Fixtures:
    supabase_stack: A running stack of the test session (`BackgroundStack`), migrated and seeded.
    supabase: The same stack, its database as it is when new, its faults switched off.
    supabase_database: A database of this test's own (`FreshDatabase`), not behind the API.

The project is the folder with `supabase/migrations`: pytest's root folder, or the one that the
option `local_stack_project` of pytest's configuration names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local_stack.background import BackgroundStack
from local_stack.config import StackConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_stack.databases import FreshDatabase

OPTION = "local_stack_project"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option to pytest's configuration file."""
    parser.addini(OPTION, "Folder with supabase/migrations; default: the root folder.", default="")


@pytest.fixture(scope="session")
def supabase_stack(pytestconfig: pytest.Config) -> Iterator[BackgroundStack]:
    """Run one ephemeral stack for the whole session, on free ports."""
    named = str(pytestconfig.getini(OPTION))
    project = pytestconfig.rootpath / named
    if not (project / "supabase" / "migrations").is_dir():
        if named:
            raise pytest.UsageError(f"{OPTION} = {named}: it has no folder supabase/migrations")
        config = StackConfig(template=True)
    else:
        config = StackConfig(project_dir=Path(project), template=True)
    with BackgroundStack(config) as stack:
        yield stack


@pytest.fixture
def supabase(supabase_stack: BackgroundStack) -> Iterator[BackgroundStack]:
    """Give a test the stack as it is when new; what the test leaves behind does not matter."""
    supabase_stack.reset_database()
    yield supabase_stack
    supabase_stack.faults.reset()


@pytest.fixture
def supabase_database(supabase_stack: BackgroundStack) -> Iterator[FreshDatabase]:
    """Give a test a migrated and seeded database of its own, which the API does not serve."""
    with supabase_stack.fresh_database() as database:
        yield database
