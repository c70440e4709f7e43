"""Who may see changes: action, grants, filters and row level security, as Supabase applies them.

Many changes are judged together: the database is asked once about all filters that need it, and
once about row level security. That is asked of the tables as they are now, by primary key, once per
distinct pair of role and claims. A policy that raises hides the row from its own subscribers and
from nobody else.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

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
_CONDITIONS_AT_ONCE = 200
_CONDITIONS_MET = """
select realtime.conditions_met($1::oid[], $2::text[], $3::text[], $4::text[], $5::boolean[])
"""
_ROWS_READERS = "select realtime.rows_readers($1::jsonb, $2::bigint[])"

Reader: TypeAlias = tuple[str, str]
"""A role and its claims as JSON."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """A change and those who may get it, as far as has been decided."""

    table: Table
    change: Change
    subscriptions: list[Subscription]


@dataclass(frozen=True, slots=True)
class Audience:
    """Who gets a change and who gets an error instead of it."""

    seers: list[Subscription]
    refused: list[tuple[Subscription, str]]


@dataclass(frozen=True, slots=True)
class Question:
    """A condition on one value.

    Attributes:
        value: the value in text form; None is null.
    """

    condition: Condition
    type_oid: int
    value: str | None


async def find_audiences(database: Connections, candidates: Sequence[Candidates]) -> list[Audience]:
    """Return who gets each change; raises asyncpg errors when the database cannot be asked."""
    interested = [_with_action(each) for each in candidates]
    await _load_grants(database, interested)
    admitted = [_apply_grants(each) for each in interested]
    refused = [errors for _, errors in admitted]
    left = await _apply_filters(database, [each for each, _ in admitted])
    left = await _apply_row_security(database, left)
    return [Audience(each.subscriptions, no) for each, no in zip(left, refused, strict=True)]


def _with_action(each: Candidates) -> Candidates:
    wanted = [s for s in each.subscriptions if s.action in ("*", each.change.action)]
    return Candidates(each.table, each.change, wanted)


async def _load_grants(database: Connections, candidates: Iterable[Candidates]) -> None:
    for each in candidates:
        if each.change.action == "DELETE" or each.table.key_names:
            await each.table.load_readable(database, {s.role for s in each.subscriptions})


def _apply_grants(each: Candidates) -> tuple[Candidates, list[tuple[Subscription, str]]]:
    """Return who may read the key, and the errors of the others."""
    table, change = each.table, each.change
    if change.action == "DELETE":
        return each, []
    key = frozenset(table.key_names)
    if not key:
        return Candidates(table, change, []), [(s, NO_KEY) for s in each.subscriptions]
    may_read = {s.role: key <= table.readable[s.role] for s in each.subscriptions}
    refused = [(s, UNAUTHORIZED) for s in each.subscriptions if not may_read[s.role]]
    return Candidates(table, change, [s for s in each.subscriptions if may_read[s.role]]), refused


async def _apply_filters(
    database: Connections, candidates: Sequence[Candidates]
) -> list[Candidates]:
    results: list[dict[Condition, bool]] = []
    open_questions: list[dict[Condition, Question]] = []
    for each in candidates:
        decided, undecided = _decide_all(each)
        results.append(decided)
        open_questions.append(undecided)
    asked = list({q: None for questions in open_questions for q in questions.values()})
    if asked:
        answers = await _ask_conditions(database, asked)
        for decided, questions in zip(results, open_questions, strict=True):
            decided.update({condition: answers[q] for condition, q in questions.items()})
    return [
        Candidates(
            each.table,
            each.change,
            [s for s in each.subscriptions if all(decided[c] for c in s.filters)],
        )
        for each, decided in zip(candidates, results, strict=True)
    ]


def _decide_all(each: Candidates) -> tuple[dict[Condition, bool], dict[Condition, Question]]:
    """Return which conditions are met, as far as that is plain, and what is to be asked."""
    change, table = each.change, each.table
    is_delete = change.action == "DELETE"
    image = change.identity(table.key_names) if is_delete else change.new
    decided: dict[Condition, bool] = {}
    undecided: dict[Condition, Question] = {}
    conditions = {c: None for s in each.subscriptions for c in s.filters}
    types = {column.name: column.type_oid for column in table.columns} if conditions else {}
    for condition in conditions:
        met = _decide(condition, image, types)
        if met is None:
            column = condition.column
            undecided[condition] = Question(condition, types[column], image[column])
        else:
            decided[condition] = met
    return decided, undecided


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


async def _ask_conditions(database: Connections, questions: list[Question]) -> dict[Question, bool]:
    results: dict[Question, bool] = {}
    for start in range(0, len(questions), _CONDITIONS_AT_ONCE):
        some = questions[start : start + _CONDITIONS_AT_ONCE]
        answers = await _fetch_conditions(database, some)
        if answers is None:
            # Whoever asks for a pattern that takes for ever must not stop the others.
            answers = [await _ask_condition(database, question) for question in some]
        results.update(zip(some, answers, strict=True))
    return results


async def _ask_condition(database: Connections, question: Question) -> bool:
    answers = await _fetch_conditions(database, [question])
    if answers is None:
        operator = question.condition.operator
        log.warning("a filter with %r takes too long; it is not met", operator)
        return False
    return answers[0]


async def _fetch_conditions(database: Connections, questions: list[Question]) -> list[bool] | None:
    """Return which conditions are met, None when that takes too long.

    A database that cannot be reached in time is an error, as everywhere, and no filter's fault.
    """
    async with database.connection() as connection:
        try:
            answers: list[bool] = await connection.fetchval(
                _CONDITIONS_MET,
                [q.type_oid for q in questions],
                [q.value for q in questions],
                [q.condition.operator for q in questions],
                [q.condition.value for q in questions],
                [q.condition.negate for q in questions],
                timeout=_CONDITIONS_TIMEOUT_S,
            )
        except TimeoutError:
            return None
    return answers


async def _apply_row_security(
    database: Connections, candidates: Sequence[Candidates]
) -> list[Candidates]:
    """Leave those who see the row now."""
    # Rows by reader and table. Readers of a role stand together, because every change of role
    # costs PostgreSQL a new plan.
    rows: dict[tuple[Reader, str], list[int]] = {}
    for number, each in enumerate(candidates):
        if _is_secured(each) and _has_key(each):
            for reader in {_reader(s) for s in each.subscriptions}:
                rows.setdefault((reader, each.table.lookup), []).append(number)
    asked = sorted(rows.items(), key=lambda item: (item[0][0][0], item[0][1], item[0][0][1]))
    answers = iter(await _ask_readers(database, candidates, asked) if asked else ())
    seen = {
        (number, reader) for (reader, _), numbers in asked for number in numbers if next(answers)
    }
    return [
        Candidates(
            each.table,
            each.change,
            [s for s in each.subscriptions if (number, _reader(s)) in seen],
        )
        if _is_secured(each)
        else each
        for number, each in enumerate(candidates)
    ]


def _is_secured(each: Candidates) -> bool:
    return each.change.action != "DELETE" and each.table.row_security


def _has_key(each: Candidates) -> bool:
    """Tell whether the row can be looked up; a publication may leave out columns of the key."""
    return all(name in each.change.new for name in each.table.key_names)


def _reader(subscription: Subscription) -> Reader:
    return subscription.role, subscription.claims_json


async def _ask_readers(
    database: Connections,
    candidates: Sequence[Candidates],
    asked: Sequence[tuple[tuple[Reader, str], list[int]]],
) -> list[bool]:
    """Return which rows each reader sees, once other sessions see the transactions' commits."""
    secured = [candidates[number] for number in sorted({n for _, rows in asked for n in rows})]
    questions = [
        {
            "lookup": lookup,
            "role": role,
            "claims": claims,
            "keys": _keys([candidates[number] for number in numbers]),
            "count": len(numbers),
        }
        for ((role, claims), lookup), numbers in asked
    ]
    async with database.connection() as connection:
        for table in {each.table.lookup: each.table for each in secured}.values():
            await table.prepare_lookup(connection)
        answers: list[bool] = await connection.fetchval(
            _ROWS_READERS, json.dumps(questions), list({each.change.xid for each in secured})
        )
    return answers


def _keys(rows: Sequence[Candidates]) -> list[list[str | None]]:
    """Return, per column of the key, its value in every row; the rows are of one table."""
    return [[each.change.new[name] for each in rows] for name in rows[0].table.key_names]
