"""The customers of the client library's integration tests, and a stack for rough use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import pytest

from tests.faults.proxy import FaultProxy
from tests.faults.world import SMALL_STEPS
from tests.integration.portal_sdk.conftest import (
    Account,
    account,
    make_account,
    new_account,
    owner,
)
from tests.support.stack_thread import StackThread

__all__ = ["account", "new_account", "owner"]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot of a few rows is stored in as many steps as a large one."""
    for module, name, value in SMALL_STEPS:
        monkeypatch.setattr(module, name, value)


@pytest.fixture(scope="session")
def rough_stack(made_once: Any) -> Iterator[StackThread]:
    """A stack whose servers, policies and schema may be broken; the scenarios share it."""
    made = StackThread(made_once.stack())
    made.start()
    yield made
    made.close()


@pytest.fixture
async def rough_owner(rough_stack: Any) -> AsyncIterator[Any]:
    """A connection of its owner."""
    connection = await asyncpg.connect(rough_stack.database_url)
    yield connection
    connection.terminate()  # the server may have been restarted under it


@pytest.fixture
async def customer(rough_stack: Any, rough_owner: Any) -> AsyncIterator[Account]:
    """A customer of one scenario."""
    made = await make_account(rough_stack, rough_owner)
    yield made
    rough_stack.faults.reset()
    made.database.terminate()  # a scenario that restarts the server has made a new one


@pytest.fixture
def new_customer(rough_stack: Any, rough_owner: Any) -> Callable[[], Awaitable[Account]]:
    """Make more customers."""
    return lambda: make_account(rough_stack, rough_owner)


@pytest.fixture
async def proxy(rough_stack: Any) -> AsyncIterator[FaultProxy]:
    """A bad network in front of it."""
    async with FaultProxy(rough_stack.api_url) as made:
        yield made
