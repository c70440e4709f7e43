"""Who may see a change: action, grants, filters and row level security, as Supabase applies them.

Row level security is asked of the table as it is now, by primary key, once per distinct pair of
role and claims. A policy that raises hides the row from its own subscribers and from nobody else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from local_stack.realtime.changes.catalog import Table
from local_stack.realtime.changes.change import Change
from local_stack.realtime.changes.filters import Condition
from local_stack.realtime.changes.subscriptions import Subscription
from local_stack.realtime.changes.values import condition_shortcut
from local_stack.realtime.database import Connections

log = logging.getLogger(__name__)

NO_KEY = "Error 400: Bad Request, no primary key"
UNAUTHORIZED = "Error 401: Unauthorized"
_CONDITIONS_TIMEOUT_S = 1.0
_CONDITIONS_MET = """
select realtime.conditions_met($1::oid[], $2::text[], $3::text[], $4::text[], $5::boolean[])
"""
_ROW_READERS = """
select realtime.row_readers($1, $2::text[], $3::text[], $4::text[], $5)
"""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who gets a change and who gets an error instead of it."""

    seers: list[Subscription]
    refused: list[tuple[Subscription, str]]


async def find_audience(
    database: Connections, table: Table, change: Change, subscriptions: Iterable[Subscription]
) -> Audience:
    """Return who gets the change; raises asyncpg errors when the database cannot be asked."""
    interested = [s for s in subscriptions if s.action in ("*", change.action)]
    if not interested:
        return Audience([], [])
    is_delete = change.action == "DELETE"
    key_names = table.key_names
    if not is_delete and not key_names:
        return Audience([], [(s, NO_KEY) for s in interested])
    await table.load_readable(database, {s.role for s in interested})
    refused: list[tuple[Subscription, str]] = []
    if not is_delete:
        key = frozenset(key_names)
        refused = [(s, UNAUTHORIZED) for s in interested if not key <= table.readable[s.role]]
        interested = [s for s in interested if key <= table.readable[s.role]]
    interested = await _apply_filters(database, table, change, interested)
    if not is_delete and table.row_security:
        interested = await _apply_row_security(database, table, change, interested)
    return Audience(interested, refused)


async def _apply_filters(
    database: Connections, table: Table, change: Change, subscriptions: list[Subscription]
) -> list[Subscription]:
    if not any(s.filters for s in subscriptions):
        return subscriptions
    image = change.identity(table.key_names) if change.action == "DELETE" else change.new
    types = {column.name: column.type_oid for column in table.columns}
    results: dict[Condition, bool] = {}
    undecided: list[Condition] = []
    for condition in {c: None for s in subscriptions for c in s.filters}:
        decided = _decide(condition, image, types)
        if decided is None:
            undecided.append(condition)
        else:
            results[condition] = decided
    if undecided:
        results.update(await _ask_conditions(database, undecided, image, types))
    return [s for s in subscriptions if all(results[c] for c in s.filters)]


def _decide(
    condition: Condition, image: dict[str, str | None], types: dict[str, int]
) -> bool | None:
    if condition.column not in image or condition.column not in types:
        return False
    text = image[condition.column]
    if text is None:
        # Only `is` and `isdistinct` can be true of null; the rest is neither true nor false.
        return None if condition.operator in ("is", "isdistinct") else False
    met = condition_shortcut(types[condition.column], condition.operator, text, condition.value)
    return None if met is None else met != condition.negate


async def _ask_conditions(
    database: Connections,
    conditions: list[Condition],
    image: dict[str, str | None],
    types: dict[str, int],
) -> dict[Condition, bool]:
    try:
        answers = await _fetch_conditions(database, conditions, image, types)
    except TimeoutError:
        # Whoever asks for a pattern that takes for ever must not stop the others.
        if len(conditions) == 1:
            log.warning("a filter with %r takes too long; it is not met", conditions[0].operator)
            return {conditions[0]: False}
        results: dict[Condition, bool] = {}
        for condition in conditions:
            results.update(await _ask_conditions(database, [condition], image, types))
        return results
    return dict(zip(conditions, answers, strict=True))


async def _fetch_conditions(
    database: Connections,
    conditions: list[Condition],
    image: dict[str, str | None],
    types: dict[str, int],
) -> list[bool]:
    async with database.connection() as connection:
        answers: list[bool] = await connection.fetchval(
            _CONDITIONS_MET,
            [types[c.column] for c in conditions],
            [image[c.column] for c in conditions],
            [c.operator for c in conditions],
            [c.value for c in conditions],
            [c.negate for c in conditions],
            timeout=_CONDITIONS_TIMEOUT_S,
        )
    return answers


async def _apply_row_security(
    database: Connections, table: Table, change: Change, subscriptions: list[Subscription]
) -> list[Subscription]:
    # Sorted, because every change of role costs PostgreSQL a new plan.
    readers = sorted({(s.role, s.claims_json) for s in subscriptions})
    if not readers:
        return []
    answers = await _ask_readers(database, table, change, readers)
    allowed = {reader for reader, seen in zip(readers, answers, strict=True) if seen}
    return [s for s in subscriptions if (s.role, s.claims_json) in allowed]


async def _ask_readers(
    database: Connections, table: Table, change: Change, readers: list[tuple[str, str]]
) -> list[bool]:
    """Return which readers see the row, once other sessions see the transaction's commit."""
    async with database.connection() as connection:
        await table.prepare_lookup(connection)
        answers: list[bool] = await connection.fetchval(
            _ROW_READERS,
            table.lookup,
            [change.new[name] for name in table.key_names],
            [role for role, _ in readers],
            [claims for _, claims in readers],
            change.xid,
        )
    return answers
