"""Asking the application what a conflicting edit becomes."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from portal_sdk._core.outbox_effects import AskMerge
from portal_sdk._core.write import column_value
from portal_sdk._runtime.delivery import is_async_function
from portal_sdk._runtime.threads import run_in_thread

logger = logging.getLogger("portal_sdk")


@dataclass(frozen=True, slots=True)
class Conflict:
    """A local edit and somebody else's, of the same columns of one row.

    A key of a json column is named ``column.key``, such as ``preferences.theme``.

    Attributes:
        table, row_id: The row.
        base: The conflicting columns as the user saw them when editing.
        mine: What the user made of them.
        theirs: What they are in the database now.
    """

    table: str
    row_id: str
    base: Mapping[str, Any] = field(repr=False)
    mine: Mapping[str, Any] = field(repr=False)
    theirs: Mapping[str, Any] = field(repr=False)


Decision = Mapping[str, Any] | None
Resolver = Callable[[Conflict], Decision | Awaitable[Decision]]


async def resolve(resolver: Resolver, ask: AskMerge) -> Decision:
    """Return the values for the conflicting columns; None if there is no decision.

    The function of the application runs in a thread of its own, or in the loop if it is async.
    """
    write = ask.entry.write
    conflict = Conflict(
        write.table,
        write.row_id,
        base={path: write.base.get(path) for path in ask.paths},
        mine={path: write.values[path] for path in ask.paths},
        theirs={path: column_value(ask.row, path) for path in ask.paths},
    )
    try:
        if is_async_function(resolver):
            decision: Any = resolver(conflict)
        else:
            decision = await run_in_thread(lambda: resolver(conflict))
        if inspect.isawaitable(decision):
            decision = await decision
    except Exception as error:
        logger.error("The conflict function raised %s; the write is refused", type(error).__name__)  # noqa: TRY400 - no data
        logger.debug("Traceback of the conflict function", exc_info=error)
        return None
    if decision is None:
        return None
    values = cast("Mapping[str, Any]", decision) if isinstance(decision, Mapping) else None
    if values is None or not set(values) <= set(ask.paths):
        logger.error(
            "The conflict function must return a mapping of %s, or None; the write is refused",
            ", ".join(ask.paths),
        )
        return None
    return values
