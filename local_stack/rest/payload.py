"""The request body: which columns it names, and whether it is one object or many."""

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from local_stack.rest.errors import RequestError


@dataclass(frozen=True, slots=True)
class Payload:
    """A JSON body kept as text; PostgreSQL parses it again.

    Attributes:
        text: JSON text.
        keys: Column or argument names in it (or from ``columns``).
        is_object: One object, not an array.
    """

    text: str
    keys: frozenset[str]
    is_object: bool


_EMPTY_ARRAY = Payload("[]", frozenset(), is_object=False)


def parse_payload(body: bytes, content_type: str, columns: tuple[str, ...] | None) -> Payload:
    """Read a JSON body.

    Args:
        body: Raw bytes.
        content_type: Media type without parameters.
        columns: The ``columns`` parameter; with it keys outside are ignored.

    Raises:
        RequestError: PGRST102 for another media type, bad JSON, or rows with different keys.
    """
    if content_type not in ("application/json", ""):
        raise RequestError("PGRST102", f"Content-Type not acceptable: {content_type}")
    try:
        text = body.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError("PGRST102") from error
    if columns is not None:
        return Payload(text, frozenset(columns), isinstance(value, dict))
    return _describe(text, value)


def empty_object() -> Payload:
    """Return the payload of a function call without a body."""
    return Payload("{}", frozenset(), is_object=True)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _describe(text: str, value: Any) -> Payload:
    if isinstance(value, dict):
        return Payload(text, frozenset(value), is_object=True)
    if not isinstance(value, list) or not value:
        return _EMPTY_ARRAY
    first = value[0]
    if not isinstance(first, dict):
        raise RequestError("PGRST102", "All object keys must match")
    keys = first.keys()
    for row in value:
        if not isinstance(row, dict) or row.keys() != keys:
            raise RequestError("PGRST102", "All object keys must match")
    return Payload(text, frozenset(keys), is_object=False)
