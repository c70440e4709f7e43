"""Run things beside each other: the first failure of any ends all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from portalctl.exits import CommandError


@asynccontextmanager
async def alongside(*coroutines: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """Run coroutines beside the body.

    The first failure of any ends all; the end of the body cancels them.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        yield
        for task in tasks:
            task.cancel()


def cause_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error made for the user, else the first of all."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        chosen = found.subgroup(CommandError) or found
        found = chosen.exceptions[0]
    return found
