"""The filter language of a binding: ``column=[not.]operator.value`` joined by commas. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from local_stack.realtime.errors import SubscriptionError
from local_stack.realtime.wire import dump_json

OPERATORS = frozenset(
    {
        "eq",
        "neq",
        "lt",
        "lte",
        "gt",
        "gte",
        "in",
        "like",
        "ilike",
        "is",
        "match",
        "imatch",
        "isdistinct",
    }
)
_QUOTE_OPENERS = frozenset(".(,")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; ``value`` of ``in`` is a PostgreSQL array literal."""

    column: str
    operator: str
    value: str
    negate: bool

    def describe(self) -> str:
        """Return it as the server's messages print it."""
        parts = ", ".join(dump_json(part) for part in (self.column, self.operator, self.value))
        return f"{{{parts}, {'true' if self.negate else 'false'}}}"


def parse_filter(text: str) -> list[Condition]:
    """Return the conditions of a filter, all of which must hold; blank text has none.

    Raises:
        SubscriptionError: the text does not follow the grammar.
    """
    if not text.strip():
        return []
    segments = [segment.strip() for segment in split_conditions(text)]
    if any(not segment for segment in segments):
        raise _refuse("filter must not contain empty segments (check for extra commas)")
    return [_parse_condition(segment) for segment in segments]


def split_conditions(text: str) -> list[str]:
    """Split at commas outside parentheses and quoted values."""
    segments: list[str] = []
    depth, start, at = 0, 0, 0
    while at < len(text):
        letter = text[at]
        if letter == '"' and at > 0 and text[at - 1] in _QUOTE_OPENERS:
            at = _end_of_quoted(text, at)
            continue
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth = max(0, depth - 1)
        elif letter == "," and depth == 0:
            segments.append(text[start:at])
            start = at + 1
        at += 1
    segments.append(text[start:])
    return segments


def _end_of_quoted(text: str, start: int) -> int:
    """Return the position after the closing quote, or the end when there is none."""
    at = start + 1
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text[at] == '"':
            return at + 1
        else:
            at += 1
    return len(text)


def _parse_condition(segment: str) -> Condition:
    column, equals, rest = segment.partition("=")
    if not equals:
        raise _refuse(f"[{dump_json(segment)}]")
    negate = rest.startswith("not.")
    operator, dot, value = rest.removeprefix("not.").partition(".")
    if not dot:
        raise _refuse(f"[{dump_json(rest)}]")
    if operator not in OPERATORS:
        raise _refuse(f"[{dump_json(operator)}, {dump_json(value)}]")
    if operator == "in":
        if not (value.startswith("(") and value.endswith(")") and len(value) >= 2):
            raise _refuse("`in` filter value must be wrapped by parentheses")
        value = f"{{{value[1:-1]}}}"
    else:
        value = _unquote(value)
    return Condition(column, operator, value, negate)


def _unquote(value: str) -> str:
    if len(value) >= 2 and value.startswith('"') and value.endswith('"'):
        return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
    return value


def _refuse(detail: str) -> SubscriptionError:
    return SubscriptionError(f"Error parsing `filter` params: {detail}")
