"""Bindings: what a join asks to hear about tables. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from local_stack.realtime.changes.filters import Condition, parse_filter
from local_stack.realtime.errors import JoinRefusedError, SubscriptionError
from local_stack.realtime.wire import dump_json, inspect_term

_ACTIONS = frozenset({"INSERT", "UPDATE", "DELETE"})
_MAX_ID = 2**27 - 1
_SECRETS = frozenset({"user_token", "auth_token"})


@dataclass(frozen=True, slots=True)
class Target:
    """A binding that could be understood.

    Attributes:
        action: INSERT, UPDATE, DELETE or ``*``.
        schema, table: as given; ``*`` means all.
        select: columns asked for; None is every column.
    """

    action: str
    schema: str
    table: str
    filters: tuple[Condition, ...]
    select: tuple[str, ...] | None

    def describe(self) -> str:
        """Return it as the server's messages print it."""
        filters = ", ".join(condition.describe() for condition in self.filters)
        select = "nil"
        if self.select is not None:
            select = f"[{', '.join(dump_json(name) for name in self.select)}]"
        return (
            f"[event: {self.action}, schema: {self.schema}, table: {self.table}, "
            f"filters: [{filters}], select: {select}]"
        )


@dataclass(frozen=True, slots=True)
class Binding:
    """One element of ``postgres_changes`` as sent, with the id the server gives it.

    Attributes:
        legacy: it stands for a join without ``config``; its changes are sent bare.
    """

    params: dict[str, Any]
    binding_id: int
    legacy: bool = False

    @classmethod
    def parse(cls, params: Any, *, legacy: bool = False) -> Binding:
        """Return the binding of a raw element.

        Raises:
            JoinRefusedError: the element is not an object.
        """
        if not isinstance(params, dict):
            raise JoinRefusedError(
                f"UnknownErrorOnChannel: expected a map, got:\n\n    {inspect_term(params)}\n"
            )
        return cls(params, make_binding_id(params), legacy)

    def to_target(self) -> Target:
        """Return what the binding asks for.

        Raises:
            SubscriptionError: with the text the client is told.
        """
        params = self.params
        schema, table = _names(params)
        filters = params.get("filter")
        conditions = parse_filter(filters) if isinstance(filters, str) else []
        select = _parse_select(params, schema, table)
        event = params.get("event")
        action = event.upper() if isinstance(event, str) else "*"
        if action not in _ACTIONS:
            action = "*"
        return Target(action, schema, table, tuple(conditions), select)


def make_binding_id(params: dict[str, Any]) -> int:
    """Return an id from 1 to 2²⁷−1 that equal params always share."""
    text = json.dumps(params, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8]) % _MAX_ID + 1


def echo_bindings(bindings: list[Binding]) -> list[dict[str, Any]]:
    """Return the answer to a join: every binding as sent, plus its id."""
    return [{**binding.params, "id": binding.binding_id} for binding in bindings]


def legacy_binding(sub_topic: str) -> Binding:
    """Return the binding of a join without ``config``: the topic names schema, table, filter."""
    names = ("schema", "table", "filter")
    params = dict(zip(names, sub_topic.split(":", 2), strict=False))
    return Binding.parse(params, legacy=True)


def _names(params: dict[str, Any]) -> tuple[str, str]:
    given = {name: params[name] for name in ("schema", "table", "filter") if name in params}
    all_strings = all(isinstance(value, str) for value in given.values())
    if all_strings and "table" in given and ("schema" in given or "filter" not in given):
        return given.get("schema", "public"), given["table"]
    if all_strings and set(given) == {"schema"}:
        return given["schema"], "*"
    shown = "<redacted>" if _SECRETS & params.keys() else inspect_term(params)
    raise SubscriptionError(
        "No subscription params provided. Please provide at least a `schema` or `table` "
        f"to subscribe to: {shown}"
    )


def _parse_select(params: dict[str, Any], schema: str, table: str) -> tuple[str, ...] | None:
    raw = params.get("select")
    if raw is None:
        return None
    if not isinstance(raw, list):
        raise SubscriptionError(
            "Error parsing `select` params: expected a list of column name strings, "
            'e.g. select: ["col1", "col2"]'
        )
    names = tuple(name for name in raw if isinstance(name, str))
    if not names:
        return None
    if "*" in (schema, table):
        raise SubscriptionError(
            "Column selection is not supported for wildcard subscriptions. "
            "Provide an explicit schema and table name."
        )
    return names
