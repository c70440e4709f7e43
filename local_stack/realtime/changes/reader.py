"""Turns replication messages into changes and inserted broadcast rows. Pure state, no I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeAlias

from local_stack.realtime.changes.change import Change, assemble
from local_stack.realtime.changes.pgoutput import Begin, Delete, Insert, Relation, Update, parse
from local_stack.realtime.errors import PgOutputError

log = logging.getLogger(__name__)

Row: TypeAlias = Mapping[str, str | None]


class StreamReader:
    """Remembers table shapes and the current transaction of one stream.

    Args:
        on_row: called with each row inserted into realtime.messages.
        on_change: called with each change of another table that somebody listens to.
        is_wanted: whether anyone listens to a table, by its oid.
    """

    def __init__(
        self,
        on_row: Callable[[Row], None],
        on_change: Callable[[Change], None],
        is_wanted: Callable[[int], bool],
    ) -> None:
        self._on_row = on_row
        self._on_change = on_change
        self._is_wanted = is_wanted
        self._relations: dict[int, Relation] = {}
        self._begin = Begin(0, 0, 0)

    def feed(self, data: bytes) -> None:
        """Take one message; one that cannot be read is logged and skipped."""
        try:
            self._feed(data)
        except PgOutputError as error:
            log.warning("a replication message cannot be read: %s", error)

    def _feed(self, data: bytes) -> None:
        message = parse(data)
        if isinstance(message, Begin):
            self._begin = message
        elif isinstance(message, Relation):
            self._relations[message.oid] = message
        elif isinstance(message, Insert | Update | Delete):
            relation = self._relations.get(message.oid)
            if relation is None:
                raise PgOutputError("a change of a table that was not described")
            if (relation.schema, relation.name) == ("realtime", "messages"):
                if isinstance(message, Insert):
                    self._on_row(assemble(message, relation, self._begin).new)
            elif self._is_wanted(relation.oid):
                self._on_change(assemble(message, relation, self._begin))

    def reset(self) -> None:
        """Forget everything; a new stream describes every table again."""
        self._relations.clear()
        self._begin = Begin(0, 0, 0)
